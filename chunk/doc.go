// Package chunk is the pure part of the incremental file transfer of the WOPI
// coauthoring extensions: it names chunks (SpookyHash ids), cuts a stream into
// them, and reads and writes the frames and messages that carry them.
//
// Nothing here keeps state, opens a file or knows a protocol's status codes; the
// package works over io.Reader, io.ReaderAt and io.Writer. Three rules hold in
// every part of it:
//
//   - No size that a client claims is allocated. Memory grows only with bytes that
//     have really arrived, and up to the caps of [Limits].
//   - The concatenation of the pieces of [Cut], in order, is the stream, whatever
//     the stream holds. A zip archive that lies is not an error, it is simply not
//     cut.
//   - A chunk id is a name within one file, neither a secret nor proof against
//     collisions. Whoever resolves ids must do so only among the chunks of one file
//     and of one request, and compare lengths as well.
package chunk
