package console

import (
	"context"
	"sync"
	"time"
)

// gatherTime bounds how long the mesh may be asked for one answer.
const gatherTime = 5 * time.Second

// turns bounds how many questions to the mesh are under way whose answers are not kept.
type turns chan struct{}

// gatherings is how many that are.
const gatherings = 8

// take waits for one; the caller gives it back. It fails only with the context.
func (t turns) take(ctx context.Context) (back func(), err error) {
	select {
	case t <- struct{}{}:
		return func() { <-t }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// fresh keeps an answer for a while that takes many to give: those who ask meanwhile get the same. Its fields are set once, the
// zero value of the others is ready.
type fresh[T any] struct {
	age  time.Duration // for so long an answer is given again
	load func(ctx context.Context) T

	once  sync.Once
	turn  chan struct{} // holds the token of who may load, and read and write what follows
	value T
	taken time.Time
}

// get returns an answer that is not too old. It fails only with the context.
func (f *fresh[T]) get(ctx context.Context) (value T, err error) {
	f.once.Do(func() { f.turn = make(chan struct{}, 1) })
	select {
	case f.turn <- struct{}{}:
	case <-ctx.Done():
		return value, ctx.Err()
	}
	defer func() { <-f.turn }()
	if f.taken.IsZero() || time.Since(f.taken) > f.age {
		// Who asked first may go away; those who wait for the answer want it all the same.
		loading, cancel := context.WithTimeout(context.WithoutCancel(ctx), gatherTime)
		defer cancel()
		f.value = f.load(loading)
		f.taken = time.Now()
	}
	return f.value, nil
}
