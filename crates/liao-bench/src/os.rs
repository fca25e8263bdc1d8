//! What depends on the operating system: a process's CPU time and memory from /proc, open files, ending a child.
//!
//! The readings are for Linux only: elsewhere they give `None`, and the report says "not measured".

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};
use std::collections::HashMap;
use std::path::Path;

/// CPU time and memory of a process together with its children.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Usage {
    /// User and system time, in microseconds. The kernel counts it in ticks, mostly of 10 ms.
    pub cpu_us: f64,
    /// Resident memory in bytes; what processes share counts for each.
    pub rss_bytes: u64,
    /// Proportional memory in bytes; `None` if the kernel does not let us read it.
    pub pss_bytes: Option<u64>,
}

/// What the machine is, for the head of a report.
#[derive(Debug, Clone, Default)]
pub struct Machine {
    /// Threads that can run at once.
    pub cores: usize,
    /// The processor's name.
    pub cpu: String,
    /// The kernel and its version.
    pub kernel: String,
    /// Memory in bytes.
    pub memory_bytes: Option<u64>,
    /// The load of the last minute when the bench began: others that work on the machine blur the figures.
    pub load: Option<f64>,
}

/// The fields of /proc/PID/stat after the name in brackets, which may itself hold blanks and brackets (proc(5)).
fn stat(pid: u32) -> Option<Vec<u64>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let rest = text.rsplit_once(')')?.1;
    // Field 3, the state, is a letter; it stays as 0 so that field n is at n - 3.
    Some(
        rest.split_whitespace()
            .map(|f| f.parse().unwrap_or(0))
            .collect(),
    )
}

/// The process and all that descend from it.
fn family(pid: u32) -> Vec<u32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    for other in entries.filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok()) {
        if let Some(parent) = stat(other).and_then(|f| f.get(1).copied()) {
            children.entry(parent as u32).or_default().push(other);
        }
    }
    let mut all = vec![pid];
    let mut at = 0;
    while let Some(one) = all.get(at) {
        all.extend(children.remove(one).unwrap_or_default());
        at += 1;
    }
    all
}

/// Rss and Pss in bytes from /proc/PID/smaps_rollup.
fn memory(pid: u32) -> Option<(u64, u64)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let of = |name: &str| -> Option<u64> {
        let line = text.lines().find(|l| l.starts_with(name))?;
        Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
    };
    Some((of("Rss:")?, of("Pss:")?))
}

/// Measures a process and its children; `None` if there is no such process or no /proc.
pub fn usage(pid: u32) -> Option<Usage> {
    stat(pid)?;
    let tick_us = 1_000_000.0 / rustix::param::clock_ticks_per_second() as f64;
    let page = rustix::param::page_size() as u64;
    let mut sum = Usage {
        pss_bytes: Some(0),
        ..Usage::default()
    };
    for one in family(pid) {
        // Gone since the list was made: its time is in its parent's fields by now.
        let Some(fields) = stat(one) else { continue };
        let field = |number: usize| fields.get(number - 3).copied().unwrap_or(0);
        // utime, stime, and both of children that have ended.
        let ticks: u64 = (14..=17).map(field).sum();
        sum.cpu_us += ticks as f64 * tick_us;
        match memory(one) {
            Some((rss, pss)) => {
                sum.rss_bytes += rss;
                sum.pss_bytes = sum.pss_bytes.map(|p| p + pss);
            }
            None => {
                sum.rss_bytes += field(24) * page;
                sum.pss_bytes = None;
            }
        }
    }
    Some(sum)
}

/// CPU time of this process without its children, in microseconds.
pub fn own_cpu_us() -> Option<f64> {
    let fields = stat(std::process::id())?;
    let ticks = fields.get(11)? + fields.get(12)?;
    Some(ticks as f64 * 1_000_000.0 / rustix::param::clock_ticks_per_second() as f64)
}

/// The machine's facts.
pub fn machine() -> Machine {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let value = |text: &str, name: &str| -> Option<String> {
        let line = text.lines().find(|l| l.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let release = read("/proc/sys/kernel/osrelease");
    Machine {
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        cpu: value(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| "unknown".into()),
        kernel: format!("{} {}", std::env::consts::OS, release.trim())
            .trim()
            .to_owned(),
        memory_bytes: value(&read("/proc/meminfo"), "MemTotal")
            .and_then(|v| v.split_whitespace().next()?.parse::<u64>().ok())
            .map(|kb| kb * 1024),
        load: read("/proc/loadavg")
            .split_whitespace()
            .next()
            .and_then(|l| l.parse().ok()),
    }
}

/// The kind of file system that a folder is on: a server whose data is in memory pays nothing for syncing.
pub fn file_system(folder: &Path) -> Option<String> {
    let mounts = std::fs::read_to_string("/proc/mounts").ok()?;
    let folder = folder.canonicalize().ok()?;
    mounts
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ').skip(1);
            Some((words.next()?, words.next()?))
        })
        .filter(|(at, _)| folder.starts_with(at))
        .max_by_key(|(at, _)| at.len())
        .map(|(_, kind)| kind.to_owned())
}

/// Raises the number of files that this process, and those it starts, may have open; the error says what to type.
pub fn allow_open_files(needed: u64) -> Result<(), String> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|now| now >= needed) {
        return Ok(());
    }
    let fits = limit.maximum.is_none_or(|most| most >= needed);
    let raised = fits
        && setrlimit(
            Resource::Nofile,
            Rlimit {
                current: Some(needed),
                maximum: limit.maximum,
            },
        )
        .is_ok();
    if raised {
        return Ok(());
    }
    Err(format!(
        "{needed} open files are needed and {} are allowed: type `ulimit -Hn {needed} && ulimit -n {needed}` as root \
         in this shell first, or open fewer connections",
        limit.maximum.unwrap_or(0)
    ))
}

/// Asks a process that we started to end.
pub fn terminate(pid: u32) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, Signal::TERM);
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_memory_and_more_and_more_cpu() {
        let me = std::process::id();
        let before = usage(me).unwrap();
        assert!(before.rss_bytes > 100_000 && before.pss_bytes.unwrap() <= before.rss_bytes);
        let mut n = 0u64;
        while usage(me).unwrap().cpu_us <= before.cpu_us {
            n = std::hint::black_box(n.wrapping_mul(31).wrapping_add(1));
        }
        assert_eq!(usage(u32::MAX), None);
    }

    #[test]
    fn children_count_with_their_parent() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        assert!(family(std::process::id()).contains(&child.id()));
        terminate(child.id());
        assert!(!child.wait().unwrap().success());
    }
}
