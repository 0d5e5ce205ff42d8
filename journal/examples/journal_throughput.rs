//! What a journal costs: CPU per append apart from syncs, and how long syncs take.
//!
//! `cargo run --release -p afferent-journal --example journal_throughput -- [FOLDER]`
//!
//! Writes about 1 GiB in all to a new folder within FOLDER (the current one if
//! none is named) and removes it. CPU is that of the calling thread.

#[cfg(target_os = "linux")]
fn main() -> afferent_media::Result<()> {
    linux::main()
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("this example reads the CPU clock of a thread as Linux gives it");
}

#[cfg(target_os = "linux")]
mod linux {
    use afferent_journal::{Journal, Options, RealDisk};
    use afferent_media::{Error, Result};
    use rustix::time::{ClockId, clock_gettime};
    use std::path::PathBuf;
    use std::time::{Duration, Instant};

    const TOTAL_BYTES: usize = 256 << 20;
    const SYNCS: usize = 300;

    pub(crate) fn main() -> Result<()> {
        let parent = std::env::args_os().nth(1).map_or(PathBuf::from("."), PathBuf::from);
        let folder = parent.join(format!("afferent-throughput-{}", std::process::id()));
        println!(
            "{:>10} {:>12} {:>12} {:>12} | {:>10} {:>10} {:>10} | {:>10}",
            "record", "append CPU", "append wall", "append", "sync p50", "sync p90", "sync p99", "scan"
        );
        let outcome = [4 << 10, 16 << 10, 64 << 10].into_iter().try_for_each(|bytes| measure(&folder, bytes));
        std::fs::remove_dir_all(&folder).map_err(|e| Error::io(format!("cannot remove {}", folder.display()), e))?;
        outcome
    }

    fn measure(folder: &std::path::Path, record_bytes: usize) -> Result<()> {
        let body: Vec<u8> = (0..record_bytes).map(|i| (i * 31 % 251) as u8).collect();
        let (head, tail) = body.split_at(100);
        let disk = || RealDisk::new(folder.join(record_bytes.to_string()));

        // Appends alone, synced after each 8 MiB, outside of what is measured.
        let (mut journal, _) = Journal::open(disk()?, Options { segment_bytes: 1 << 30, ..Options::default() })?;
        let records = TOTAL_BYTES / record_bytes;
        let (mut cpu, mut wall) = (Duration::ZERO, Duration::ZERO);
        for batch in 0..TOTAL_BYTES / (8 << 20) {
            let (cpu_start, start) = (cpu_time(), Instant::now());
            for _ in 0..(8 << 20) / record_bytes {
                journal.append(&[head, tail])?;
            }
            // The first batch warms up.
            if batch > 0 {
                cpu += cpu_time() - cpu_start;
                wall += start.elapsed();
            }
            journal.sync()?;
        }
        let measured = (records - (8 << 20) / record_bytes) as f64;
        let micros = |time: Duration| time.as_secs_f64() * 1e6 / measured;

        // One sync per record: the longest wait there is.
        let mut syncs = Vec::with_capacity(SYNCS);
        for _ in 0..SYNCS {
            journal.append(&[head, tail])?;
            let start = Instant::now();
            journal.sync()?;
            syncs.push(start.elapsed());
        }
        syncs.sort_unstable();
        let at = |share: f64| syncs[((SYNCS - 1) as f64 * share) as usize].as_secs_f64() * 1e3;

        let start = Instant::now();
        journal.scan(0, |_| Ok(()))?;
        let scan = (TOTAL_BYTES + SYNCS * record_bytes) as f64 / start.elapsed().as_secs_f64() / 1e6;
        println!(
            "{record_bytes:>8} B {:>9.1} us {:>9.1} us {:>7.0} MB/s | {:>7.2} ms {:>7.2} ms {:>7.2} ms | {scan:>5.0} MB/s",
            micros(cpu),
            micros(wall),
            record_bytes as f64 / micros(wall),
            at(0.5),
            at(0.9),
            at(0.99),
        );
        journal.close()
    }

    fn cpu_time() -> Duration {
        Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
    }
}
