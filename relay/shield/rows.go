package shield

// row is a parity row after the symbols that are here were taken out of it: a linear equation for the missing ones.
// Rows are kept in reduced echelon form.
type row struct {
	sum
	coefficients [maxColumns]byte
	pivot        int
}

// substitute takes a symbol that is known now out of all rows and frees its column.
func (d *decoder) substitute(c int, s *symbol) {
	pivot := d.pivots[c]
	d.pivots[c] = nil
	if pivot != nil {
		pivot.take(c, s)
		d.reinsert(pivot)
	} else {
		for i, r := range d.pivots {
			if r != nil && r.coefficients[c] != 0 {
				r.take(c, s)
				d.check(i)
			}
		}
	}
	d.used &^= 1 << c
}

func (r *row) take(c int, s *symbol) {
	r.add(r.coefficients[c], s)
	r.coefficients[c] = 0
}

// dropColumn gives up a missing number, and with it one row that speaks of it.
func (d *decoder) dropColumn(i int) {
	c := int(d.gaps[i].column)
	if c < 0 {
		return
	}
	d.gaps[i].column = -1
	victim := d.pivots[c]
	if victim == nil {
		for _, r := range d.pivots {
			if r != nil && r.coefficients[c] != 0 {
				d.pivots[r.pivot] = nil
				victim = r
				d.makePivot(r, c)
				break
			}
		}
	}
	d.pivots[c] = nil
	d.used &^= 1 << c
	if victim != nil {
		d.release(victim)
	}
}

func (d *decoder) release(r *row) { d.free = append(d.free, r) }

// newRow returns an empty row; there are never more than columns, and one in the making.
func (d *decoder) newRow() *row {
	if n := len(d.free); n > 0 {
		r := d.free[n-1]
		d.free = d.free[:n-1]
		return r
	}
	d.rows++
	return &row{sum: sum{buf: make([]byte, slotSize)}}
}

// addColumn gives the gap a column. When all are taken the row is not used: more is missing than will be repaired in time.
func (d *decoder) addColumn(i int) bool {
	for c := range maxColumns {
		if d.used&(1<<c) == 0 {
			d.used |= 1 << c
			d.columns[c] = d.gaps[i].number
			d.gaps[i].column = int8(c)
			return true
		}
	}
	return false
}

// eliminate makes the row's coefficient of column c zero by adding a multiple of p, whose pivot is c.
func (r *row) eliminate(c int, p *row) {
	f := r.coefficients[c]
	for i, v := range p.coefficients {
		if v != 0 {
			r.coefficients[i] ^= field.mul(f, v)
		}
	}
	r.addSum(f, &p.sum)
}

// reinsert finds a pivot for a row that has zeros in all columns that are pivots of others, or releases it if it says nothing.
func (d *decoder) reinsert(r *row) {
	for c, v := range r.coefficients {
		if v != 0 {
			d.makePivot(r, c)
			for i := range d.pivots {
				d.check(i)
			}
			return
		}
	}
	d.release(r)
}

// makePivot makes column c the pivot of r, which no other row then speaks of.
func (d *decoder) makePivot(r *row, c int) {
	f := field.inv(r.coefficients[c])
	for i, v := range r.coefficients {
		r.coefficients[i] = field.mul(f, v)
	}
	r.scale(f)
	for _, o := range d.pivots {
		if o != nil && o != r && o.coefficients[c] != 0 {
			o.eliminate(c, r)
		}
	}
	r.pivot, d.pivots[c] = c, r
}

// check takes the row with pivot c out if it has become one symbol.
func (d *decoder) check(c int) {
	r := d.pivots[c]
	if r == nil {
		return
	}
	for i, v := range r.coefficients {
		if v != 0 && i != c {
			return
		}
	}
	d.pivots[c] = nil
	d.solved = append(d.solved, r)
}

// handUp hands up what elimination found. The columns of these symbols are zero in all other rows. It may come to be called by what
// it hands up, when that is a symbol sent again.
func (d *decoder) handUp() {
	for len(d.solved) > 0 {
		r := d.solved[len(d.solved)-1]
		d.solved = d.solved[:len(d.solved)-1]
		n := d.columns[r.pivot]
		k, content, ok := r.symbol()
		if g := d.gap(n); g >= 0 && int(d.gaps[g].column) == r.pivot {
			d.gaps[g].column = -1
			d.used &^= 1 << r.pivot
			if ok {
				d.repairs++
				d.known(n, k, content, repaired)
			}
		}
		if !ok {
			d.corrupt++
		}
		d.release(r)
	}
}
