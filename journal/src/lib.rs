//! One crash-safe segment log, used as the agent's spool and as the server's store.
//!
//! Records are numbered from 0 and appended to segment files of one folder:
//!
//! ```text
//! 00000000000000000000.seg   records 0 …        named by the index of its first record
//! 00000000000000001312.seg   records 1312 …     the newest one is being written
//! lock                       held while a `Journal` is open
//!
//! segment  header | frame | frame | … | end     the end only once sealed
//! header   "AFJ" version:u8 | salt:u32 | journal:u64 | first:u64 | CRC     28 bytes
//! frame    number:u32 | length:u32 | head CRC | body CRC | bytes           16 + length
//! end      number:u32 | ff ff ff ff | head CRC | body CRC | header again   16 + 28
//! ```
//!
//! Integers are little-endian, checksums are CRC-32C. `number` counts from the
//! segment's first record; at the end it is the number of records. The head
//! CRC covers number and length and starts from the header's CRC, the body CRC
//! covers the bytes and starts from the head CRC. The salt is drawn anew for
//! each segment, so that bytes left from another segment, place or journal
//! never verify. A damaged body costs one record, because its head still says
//! where the next one starts; after a damaged head the next head that verifies
//! is searched for, and its number says how many records are lost. A damaged
//! header is read from the end instead.
//!
//! What holds, whatever the moment of a crash or power cut:
//!
//! - a record below the index that [`Journal::sync`] returned is read back
//!   intact, or reported as [`Damage`] if the disk later lost it;
//! - a segment appears under its name only with a synced header, and only after
//!   the one before it is synced as a whole: what a crash can tear is the tail
//!   of the newest segment. [`Journal::open`] cuts it and says so;
//! - a segment is written by one `Journal` only: the first append after an open
//!   starts a new one;
//! - after a failed sync the kernel may hold bytes that the disk never got, and
//!   calls them clean. The journal then refuses to append and leaves the file as
//!   it is; opening again drops those cached bytes and keeps what the disk has.
//!
//! ```
//! use afferent_journal::{Found, Journal, Options, RealDisk};
//! # let folder = tempfile::tempdir()?;
//! # let folder = folder.path();
//! let (mut journal, recovery) = Journal::open(RealDisk::new(folder)?, Options::default())?;
//! assert_eq!((recovery.first, recovery.next), (0, 0));
//! let place = journal.append(&[b"head, ", b"body"])?;
//! assert_eq!(journal.sync()?, 1); // records below 1 are durable
//!
//! let reader = journal.reader(); // Clone + Send; never waits for a sync
//! let mut buffer = Vec::new();
//! assert_eq!(reader.read(&place, &mut buffer)?, b"head, body");
//! reader.scan(0, |found| {
//!     match found {
//!         Found::Record(location, bytes) => assert_eq!((location.index, bytes.len()), (0, 10)),
//!         Found::Damage(damage) => eprintln!("{damage}"),
//!     }
//!     Ok(())
//! })?;
//! journal.close()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! - [`journal`]: the writer; [`reader`]: positioned reads and scans;
//! - [`disk`]: what is asked of a disk, and the real one; [`sim`]: a seeded
//!   disk in memory with power cuts and failures, for tests.

pub mod disk;
mod format;
pub mod journal;
pub mod reader;
mod recovery;
pub mod sim;
mod walk;

pub use disk::{Disk, RealDisk};
pub use journal::{Journal, Options, SyncPolicy};
pub use reader::{Damage, Found, Location, Reader};
pub use recovery::{MAX_DAMAGE, Recovery};
pub use sim::SimDisk;
