//! Metrics per device: block I/O, huge pages, pressure (kernel documentation, `admin-guide/cgroup-v1/blkio-controller`,
//! `hugetlb`, and `admin-guide/cgroup-v2`).

use std::fs;

use containerd_shim::protos::{cgroups::metrics as v1, cgroups_v2::metrics as v2, protobuf::MessageField};

use super::directories::Cgroups;

/// Block I/O on cgroup v1: the counters of the scheduler where they count, else those of the throttle.
pub fn blkio_v1(cgroups: &Cgroups) -> v1::BlkIOStat {
    let entries = |name: &str| blkio_entries(&cgroups.read(&format!("blkio.{name}")).unwrap_or_default(), &devices());
    let stat = v1::BlkIOStat {
        io_service_bytes_recursive: entries("io_service_bytes_recursive"),
        io_serviced_recursive: entries("io_serviced_recursive"),
        io_queued_recursive: entries("io_queued_recursive"),
        io_service_time_recursive: entries("io_service_time_recursive"),
        io_wait_time_recursive: entries("io_wait_time_recursive"),
        io_merged_recursive: entries("io_merged_recursive"),
        io_time_recursive: entries("time_recursive"),
        sectors_recursive: entries("sectors_recursive"),
        ..v1::BlkIOStat::default()
    };
    if stat != v1::BlkIOStat::default() {
        return stat;
    }
    v1::BlkIOStat {
        io_serviced_recursive: entries("throttle.io_serviced"),
        io_service_bytes_recursive: entries("throttle.io_service_bytes"),
        ..v1::BlkIOStat::default()
    }
}

/// Names of block devices by their numbers (`/proc/partitions`).
fn devices() -> Vec<(u64, u64, String)> {
    partitions(&fs::read_to_string("/proc/partitions").unwrap_or_default())
}

/// Numbers and names in the text of that file.
pub fn partitions(text: &str) -> Vec<(u64, u64, String)> {
    let parse = |line: &str| {
        let mut fields = line.split_whitespace();
        let (major, minor) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        Some((major, minor, format!("/dev/{}", fields.nth(1)?)))
    };
    text.lines().filter_map(parse).collect()
}

/// Lines `MAJOR:MINOR OPERATION NUMBER`, or without the operation.
pub fn blkio_entries(text: &str, devices: &[(u64, u64, String)]) -> Vec<v1::BlkIOEntry> {
    let parse = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (major, minor) = fields.first()?.split_once(':')?;
        let (major, minor) = (major.parse().ok()?, minor.parse().ok()?);
        let (op, value) = match fields[1..] {
            [op, value] => (op, value),
            [value] => ("", value),
            _ => return None,
        };
        let device = devices.iter().find(|device| (device.0, device.1) == (major, minor));
        Some(v1::BlkIOEntry {
            op: op.to_owned(),
            device: device.map(|device| device.2.clone()).unwrap_or_default(),
            major,
            minor,
            value: value.parse().ok()?,
            ..v1::BlkIOEntry::default()
        })
    };
    text.lines().filter_map(parse).collect()
}

/// Block I/O on cgroup v2.
pub fn io_v2(cgroups: &Cgroups) -> v2::IOStat {
    let usage = io_entries(&cgroups.read("io.stat").unwrap_or_default());
    v2::IOStat { usage, psi: pressure(cgroups, "io.pressure"), ..v2::IOStat::default() }
}

/// Lines `MAJOR:MINOR KEY=NUMBER…`.
pub fn io_entries(text: &str) -> Vec<v2::IOEntry> {
    let parse = |line: &str| {
        let (device, values) = line.split_once(' ')?;
        let (major, minor) = device.split_once(':')?;
        let mut entry =
            v2::IOEntry { major: major.parse().ok()?, minor: minor.parse().ok()?, ..v2::IOEntry::default() };
        for (key, value) in values.split_whitespace().filter_map(|pair| pair.split_once('=')) {
            let value = value.parse().unwrap_or_default();
            match key {
                "rbytes" => entry.rbytes = value,
                "wbytes" => entry.wbytes = value,
                "rios" => entry.rios = value,
                "wios" => entry.wios = value,
                _ => {}
            }
        }
        Some(entry)
    };
    text.lines().filter_map(parse).collect()
}

/// How much waiting there was; on kernels without that the field is left out.
pub fn pressure(cgroups: &Cgroups, file: &str) -> MessageField<v2::PSIStats> {
    cgroups.read(file).map_or_else(MessageField::none, |text| MessageField::some(waiting(&text)))
}

/// Lines `some KEY=NUMBER…` and `full KEY=NUMBER…`.
pub fn waiting(text: &str) -> v2::PSIStats {
    let mut stats = v2::PSIStats::default();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let kind = words.next();
        let mut data = v2::PSIData::default();
        for (key, value) in words.filter_map(|pair| pair.split_once('=')) {
            match key {
                "avg10" => data.avg10 = value.parse().unwrap_or_default(),
                "avg60" => data.avg60 = value.parse().unwrap_or_default(),
                "avg300" => data.avg300 = value.parse().unwrap_or_default(),
                "total" => data.total = value.parse().unwrap_or_default(),
                _ => {}
            }
        }
        match kind {
            Some("some") => stats.some = MessageField::some(data),
            Some("full") => stats.full = MessageField::some(data),
            _ => {}
        }
    }
    stats
}

/// Sizes of huge pages that the kernel has, as the names of files call them: `2MB`, `1GB`.
fn page_sizes() -> Vec<String> {
    let Ok(entries) = fs::read_dir("/sys/kernel/mm/hugepages") else { return Vec::new() };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let sizes = names.filter_map(|name| name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse::<u64>().ok());
    let mut sizes: Vec<u64> = sizes.collect();
    sizes.sort_unstable();
    sizes.into_iter().map(size_name).collect()
}

fn size_name(kib: u64) -> String {
    match kib {
        kib if kib >= 1 << 20 => format!("{}GB", kib >> 20),
        kib if kib >= 1 << 10 => format!("{}MB", kib >> 10),
        kib => format!("{kib}KB"),
    }
}

/// Huge pages on cgroup v1.
pub fn hugetlb_v1(cgroups: &Cgroups) -> Vec<v1::HugetlbStat> {
    let stat = |pagesize: String| {
        let number = |name: &str| cgroups.number(&format!("hugetlb.{pagesize}.{name}"));
        let usage = number("usage_in_bytes")?;
        let (max, failcnt) = (number("max_usage_in_bytes")?, number("failcnt")?);
        Some(v1::HugetlbStat { usage, max, failcnt, pagesize, ..v1::HugetlbStat::default() })
    };
    page_sizes().into_iter().filter_map(stat).collect()
}

/// Huge pages on cgroup v2.
pub fn hugetlb_v2(cgroups: &Cgroups) -> Vec<v2::HugeTlbStat> {
    let stat = |pagesize: String| {
        let number = |name: &str| cgroups.number(&format!("hugetlb.{pagesize}.{name}"));
        let (current, max) = (number("current")?, number("max")?);
        let events = cgroups.table(&format!("hugetlb.{pagesize}.events"));
        let failcnt = events.into_iter().find(|(key, _)| key == "max").map_or(0, |(_, count)| count);
        Some(v2::HugeTlbStat { current, max, pagesize, failcnt, ..v2::HugeTlbStat::default() })
    };
    page_sizes().into_iter().filter_map(stat).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_io_is_told_per_device_and_operation() {
        let devices = [(8, 0, "/dev/sda".to_owned())];
        let entries = blkio_entries("8:0 Read 4096\n8:0 Write 0\n9:1 7\nTotal 4096\n", &devices);
        let seen: Vec<_> = entries.iter().map(|one| (&*one.device, &*one.op, one.major, one.value)).collect();
        assert_eq!(seen, [("/dev/sda", "Read", 8, 4096), ("/dev/sda", "Write", 8, 0), ("", "", 9, 7)]);
    }

    #[test]
    fn version_2_has_one_line_per_device_and_pressure() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("io.stat"), "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5\n").unwrap();
        fs::write(directory.path().join("io.pressure"), "some avg10=1.50 avg60=0.00 avg300=0.00 total=9\n").unwrap();
        let io = io_v2(&Cgroups::new(vec![directory.path().into()]));
        let entry = &io.usage[0];
        assert_eq!((entry.major, entry.rbytes, entry.wbytes, entry.rios, entry.wios), (8, 1, 2, 3, 4));
        assert_eq!((io.psi.some.avg10, io.psi.some.total), (1.5, 9));
    }

    #[test]
    fn page_sizes_have_the_kernel_s_names() {
        assert_eq!([64, 2048, 1 << 20].map(size_name), ["64KB", "2MB", "1GB"]);
    }
}
