//! What the system says of this process.

use std::fs;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// What a process uses. What the system does not tell is left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of memory that are in use.
    pub memory: Option<u64>,
    /// Processor time of all threads so far.
    pub processor: Duration,
    /// Open files and connections.
    pub files: Option<u64>,
    /// How many there may be.
    pub files_max: Option<u64>,
}

impl Usage {
    /// That of this process, now.
    pub fn now() -> Self {
        let processor = clock_gettime(ClockId::ProcessCPUTime);
        let nanos = u32::try_from(processor.tv_nsec).unwrap_or_default();
        let processor = Duration::new(u64::try_from(processor.tv_sec).unwrap_or_default(), nanos);
        let line = |file, name| fs::read_to_string(file).ok().and_then(|text| first_number(&text, name));
        Self {
            memory: line("/proc/self/status", "VmRSS:").map(|kib| kib * 1024),
            processor,
            // One of them is what lists them.
            files: fs::read_dir("/proc/self/fd").ok().map(|files| (files.count() as u64).saturating_sub(1)),
            files_max: line("/proc/self/limits", "Max open files"),
        }
    }
}

/// The first number behind a name that a line begins with.
fn first_number(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_found_by_the_name_before_it() {
        let text =
            "VmPeak:\t  99 kB\nVmRSS:\t   1234 kB\nMax open files            1024                 524288  files\n";
        assert_eq!(first_number(text, "VmRSS:"), Some(1234));
        assert_eq!(first_number(text, "Max open files"), Some(1024));
        assert_eq!(first_number(text, "VmSwap:"), None);
        assert_eq!(first_number("Max open files   unlimited unlimited", "Max open files"), None);
    }
}
