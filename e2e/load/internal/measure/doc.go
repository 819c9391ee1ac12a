// Package measure counts what a load test sees: delays in a histogram, packets that came, went missing or came twice,
// the moment a first picture is complete, and what a process costs according to /proc.
package measure
