// Package codec turns one record into bytes and back: the one envelope that every
// engine stores, open to engines of strangers. It checks what it reads, and it is
// not a store: where the bytes go, and when they are durable, is the engine's.
//
// # The bytes
//
// All numbers are little endian; v is an unsigned varint (encoding/binary).
//
//	      ┌──────────┬──────────┬───────────────────────────────────────────────┐
//	      │ kind u8  │ length v │ head …                                        │
//	      ├──────────┴──────────┼─────────────┬───────────────┬────────────────┬┴────────┐
//	      │ …              head │ headCRC u32 │ meta          │ payload        │ CRC u32 │
//	      └─────────────────────┴─────────────┴───────────────┴────────────────┴─────────┘
//	                  │←──────────────── length ────────────────────────────→│
//
//	kind    bits 0–4  the record's kind, 1 to 31: kinds that this version does not
//	                  know are kept as they are
//	        bit  5    the head holds a batch ID
//	        bit  6    headCRC is masked: all records that are written now. Without, the
//	                  CRC binds no payload to its head
//	        bit  7    zero: a record with it was written by a newer version
//	head    name length v, name          the stream
//	        version v
//	        type length v, type
//	        schema v
//	        epoch v
//	        time v                       zigzag: nanoseconds since the base time,
//	                                     which the engine keeps once for many records
//	        place v                      the place in the batch
//	        batch ID, 16 bytes           if bit 5 is set
//	        meta length v
//	payload what is left of length
//
// headCRC covers everything before it, and is turned by 17 bits to the left, plus
// 0xa282ead8; CRC covers everything before it, headCRC too. Both
// are CRC-32C and begin with the store's UUID (16 bytes) and the record's position
// (8 bytes), which are not stored: a record that stands where another belongs, or
// comes from another store, fails like a damaged one. The head has a checksum of
// its own so that damage to meta or payload, which is most of the bytes, can be
// blamed on exactly one version of one stream.
//
// A record is self-delimiting: [Length] needs its first six bytes.
package codec
