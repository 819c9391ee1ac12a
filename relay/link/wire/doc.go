// Package wire writes Go structs as protobuf messages and reads them back, for what nodes say to each other.
//
// A message is a struct; each field names its number in a tag. It is what proto3 makes of the same fields, so that versions
// of the program understand each other by protobuf's rules: a field may be added, and those who do not know it skip it; a
// number is never used again for something else; a field that is absent has its zero value.
//
//	type Want struct {
//		Stream string        `pb:"1"`
//		Layers uint32        `pb:"2"`
//		After  time.Duration `pb:"3"`
//	}
//
// Booleans, unsigned integers and enumerations are varints; signed integers are zigzag varints (sint64); float64 is fixed64;
// strings and []byte are what they are; structs and pointers to structs are messages; slices of any of these are repeated
// fields, never packed. Maps do not occur: their order would make equal messages differ.
//
// Reading is strict about what the field is and lenient about what is new. It is bounded by the size of the message: nothing
// is allocated for a length that is not there.
package wire
