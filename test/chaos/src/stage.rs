//! What lifecycles need: a root file system, and small disks that can be filled, under the product's directories.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use e2e::{Kind, command, docker, engine, shim::Bundle};
use serde_json::{Value, json};

use crate::plan::{Container, Fault, Plan};

/// Where native code is kept.
pub const CACHE: &str = "/var/lib/containerd-shim-wasmedge/aot";

/// With room for the two logs, which may have 16 MiB each.
const DISKS: [(&str, &str); 2] = [(engine::STATE, "size=64m"), (CACHE, "size=64m")];

/// The pod whose shim lives on.
pub const LONG_LIVED: &str = "chaos-long-lived";

/// By which annotation a container names its pod (containerd, CRI).
const POD: &str = "io.kubernetes.cri.sandbox-id";

/// Set up; dropped, it is all removed.
pub struct Stage {
    directory: PathBuf,
    spec: Value,
}

impl Stage {
    /// Sets up. The services must have been warmed up and no container must be there.
    pub fn new() -> Self {
        engine::kill_hosts();
        for (directory, options) in DISKS {
            fs::create_dir_all(directory).unwrap_or_else(|error| panic!("making {directory}: {error}"));
            command("mount").args(["-t", "tmpfs", "-o", &format!("mode=0700,{options}"), "chaos", directory]).run();
        }
        let directory = PathBuf::from(format!("/tmp/chaos-{}", std::process::id()));
        let stage = Self { spec: configuration(&directory), directory };
        stage.unpack();
        stage
    }

    fn root(&self) -> PathBuf {
        self.directory.join("root")
    }

    fn unpack(&self) {
        fs::create_dir_all(self.root()).expect("making a root file system");
        let container = docker::Run::new("e2e-chaos-rootfs".into(), Kind::Linux).image("both").create(["none"]);
        let archive = self.directory.join("root.tar").display().to_string();
        docker::docker(["export", "-o", &archive, &container.name]).run();
        container.remove();
        command("tar").args(["-xf", &archive, "-C", &self.root().display().to_string()]).run();
        fs::remove_file(archive).expect("removing an archive");
    }

    /// A bundle for one container of a plan.
    pub fn bundle(&self, plan: &Plan, number: usize) -> io::Result<Bundle> {
        let container = plan.containers[number];
        let mut spec = self.spec.clone();
        if plan.long_lived {
            spec["annotations"][POD] = json!(LONG_LIVED);
        } else if plan.containers.len() > 1 {
            spec["annotations"][POD] = json!(format!("chaos-{:06}-pod", plan.number));
        }
        if matches!(plan.fault, Some((Fault::TightContainer, _))) {
            spec["linux"]["resources"]["memory"] = json!({ "limit": 200_000 + plan.measure % 8_000_000 });
        }
        spec["process"]["terminal"] = json!(container.terminal);
        let id = id(plan.number, number);
        spec["process"]["args"] = match container.fresh {
            true => json!([format!("/{}", self.fresh_module(&id)?), "600"]),
            false => json!(container.kind.sleeper()),
        };
        Bundle::of_configuration(id, container.kind, &self.directory, &spec)
    }

    /// A bundle of the pod whose shim lives on, or of none, for what is to be there all the time.
    pub fn bystander(&self, id: &str, kind: Kind, in_pod: bool) -> Bundle {
        let mut spec = self.spec.clone();
        if in_pod {
            spec["annotations"][POD] = json!(LONG_LIVED);
        }
        spec["process"]["args"] = json!(kind.either(vec!["/sleep.wasm", "86400"], vec!["sleep", "86400"]));
        Bundle::of_configuration(id.to_owned(), kind, &self.directory, &spec).expect("making a bundle")
    }

    /// Copies a module, with one more custom section, so that nobody has seen it before; its name.
    fn fresh_module(&self, id: &str) -> io::Result<String> {
        let mut module = fs::read(self.root().join("sleep.wasm"))?;
        // Number 0, the size of what follows, the size of the name, the name (WebAssembly core specification, 5.5.3).
        module.extend([0, u8::try_from(id.len() + 1).unwrap_or(1), u8::try_from(id.len()).unwrap_or(0)]);
        module.extend(id.bytes());
        let name = format!("{id}.wasm");
        fs::write(self.root().join(&name), module)?;
        Ok(name)
    }

    /// Removes a bundle with what belongs to it.
    pub fn remove(&self, id: &str) {
        let _ = fs::remove_dir_all(self.directory.join(id));
        let _ = fs::remove_file(self.root().join(format!("{id}.wasm")));
    }

    /// A directory for a bundle's FIFOs.
    pub fn fifo(&self, id: &str) -> PathBuf {
        self.directory.join(id).join("output")
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        engine::kill_hosts();
        // It goes with its disk, and findings are explained by it.
        let log = fs::read(engine::log_path()).unwrap_or_default();
        for (directory, _) in DISKS {
            let _ = command("umount").args(["-l", directory]).try_finish();
        }
        let file = OpenOptions::new().append(true).create(true).open(engine::log_path());
        let _ = file.and_then(|mut file| file.write_all(&log));
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// The id of a container of a lifecycle; none is the beginning of another.
pub fn id(lifecycle: u64, container: usize) -> String {
    format!("chaos-{lifecycle:06}-{container}")
}

/// containerd's default, with this root.
fn configuration(directory: &Path) -> Value {
    let text = command("ctr").args(["oci", "spec"]).run().stdout;
    let mut spec: Value = serde_json::from_str(&text).expect("the configuration is JSON");
    spec["root"] = json!({ "path": directory.join("root").display().to_string() });
    spec["process"]["env"] = json!(["PATH=/bin"]);
    spec
}

/// A program's words for an exec that ends with a code.
pub fn exiter(container: Container, code: i32) -> Vec<String> {
    container.kind.exiter(code)
}
