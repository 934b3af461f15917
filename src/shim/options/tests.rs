//! Options as containerd and Docker hand them over, and what is wrong with some.

use super::*;
use proptest::prelude::*;
use wasmedge_shim_protocol::{Aot, AotPolicy, Optimization, Preopen, Proposal, Proposals, Secret};

/// What comes with a container, on a node without options of its own.
fn given(any: &Any) -> Result<Options, OptionsError> {
    Options::over(Table::new(), Some(any))
}

fn toml_any(body: &str) -> Any {
    let mut value = vec![0x0a, 1, b'x', 0x1a, u8::try_from(body.len()).unwrap()];
    value.extend(body.as_bytes());
    Any { type_url: TOML_OPTIONS.into(), value, ..Any::default() }
}

#[test]
fn toml_options_are_taken_from_containerds_message() {
    let options = given(&toml_any("SystemdCgroup = true\n[engine]\npath = \"/opt/engine\"\n")).unwrap();
    assert!(options.sandbox.systemd_cgroup);
    assert_eq!(options.engine, Some("/opt/engine".into()));
}

#[test]
fn options_of_the_node_hold_for_handlers_that_carry_none() {
    let node = || "SystemdCgroup = true\n[aot]\ncache_mib = 7\n".parse::<Table>().unwrap();
    let runc = |systemd_cgroup| {
        let options = RuncOptions { systemd_cgroup, ..RuncOptions::default() };
        let value = options.write_to_bytes().unwrap();
        Any { type_url: "containerd.runc.v1.Options".into(), value, ..Any::default() }
    };
    let foreign = Any { type_url: "example.Options".into(), ..Any::default() };
    let (alone, under_runc) = (None, [runc(true), runc(false)]);
    let known =
        [alone, Some(&foreign), Some(&under_runc[0]), Some(&under_runc[1]), Some(&toml_any("NoPivotRoot = true"))]
            .map(|any| Options::over(node(), any).unwrap().sandbox);
    assert_eq!(known.each_ref().map(|sandbox| sandbox.aot.cache_mib), [7; 5]);
    assert_eq!(known.each_ref().map(|sandbox| sandbox.systemd_cgroup), [true, true, true, false, true]);
    assert!(known[4].no_pivot_root);
}

#[test]
fn options_of_native_code_are_taken() {
    let text = "[aot]\npolicy = \"require\"\nwait_ms = 50\nlevel = \"O3\"\ncache_mib = 10\nfuture = 1\n\
                compilers = 3\ncompilers_mib = 4000\nnew_per_minute = 2\n";
    let aot = Options::from_toml(text).unwrap().sandbox.aot;
    let wanted = Aot {
        policy: AotPolicy::Require,
        wait_millis: 50,
        level: Optimization::O3,
        cache_mib: 10,
        most_policy: AotPolicy::Require,
        most_level: Optimization::O3,
        compilers: 3,
        compilers_mib: 4000,
        new_per_minute: 2,
    };
    assert_eq!(aot, wanted);
}

#[test]
fn containers_ask_for_no_more_native_code_than_the_options_have_unless_those_say_so() {
    let most = |text: &str| {
        let aot = Options::from_toml(text).unwrap().sandbox.aot;
        (aot.most_policy, aot.most_level)
    };
    assert_eq!(most(""), (AotPolicy::Require, Optimization::O2), "nothing was set");
    assert_eq!(most("[aot]\ncache_mib = 1\n"), (AotPolicy::Require, Optimization::O2));
    assert_eq!(most("[aot]\npolicy = \"off\"\n"), (AotPolicy::Off, Optimization::O2));
    assert_eq!(most("[aot]\npolicy = \"tiered\"\nlevel = \"O1\"\n"), (AotPolicy::Tiered, Optimization::O1));
    let text = "[aot]\npolicy = \"off\"\nmost_policy = \"wait\"\nmost_level = \"O3\"\n";
    assert_eq!(most(text), (AotPolicy::Wait, Optimization::O3));
    let error = Options::from_toml("[aot]\nmost_policy = \"all\"\n").unwrap_err().to_string();
    assert!(error.contains("runtime option aot.most_policy: off, tiered, wait or require is expected"), "{error}");
}

#[test]
fn options_of_the_engine_are_taken() {
    let text = "[engine]\ngas_limit = 1000\ntime_limit_ms = 50\nmemory_pages = 16\nstatistics = true\n\
                proposals = [\"-simd\", \"+memory64\"]\noptional_proposals = [\"threads\"]\n";
    let engine = Options::from_toml(text).unwrap().sandbox.engine;
    assert_eq!((engine.gas_limit, engine.time_limit_millis, engine.memory_pages), (Some(1000), Some(50), Some(16)));
    assert!(engine.statistics);
    assert!(!engine.proposals.has(Proposal::Simd) && engine.proposals.has(Proposal::Memory64));
    assert_eq!(engine.optional_proposals, Proposals::NONE.with(Proposal::Threads));
    let error = |text: &str| Options::from_toml(text).unwrap_err().to_string();
    assert_eq!(
        error("[engine]\ngas_limit = 0"),
        "runtime option engine.gas_limit: a whole number of at least 1 is expected, not integer 0"
    );
    assert_eq!(
        error("[engine]\nproposals = [\"simd\"]"),
        "runtime option engine.proposals: a list of +NAME and -NAME with the names of proposals is expected, not \
         string \"simd\""
    );
    assert!(error("[engine]\noptional_proposals = \"threads\"").contains("not string \"threads\""));
}

#[test]
fn whose_settings_are_heeded_is_told_and_the_pod_s_are_unless_it_is() {
    let source = |text: &str| Options::from_toml(text).map(|options| options.further.annotations);
    assert_eq!(source(""), Ok(AnnotationSource::Pod));
    assert_eq!(source("annotations = \"spec\""), Ok(AnnotationSource::Spec));
    assert_eq!(source("annotations = \"image\"\n[engine]\n"), Ok(AnnotationSource::Image));
    assert_eq!(
        source("annotations = \"all\"").unwrap_err().to_string(),
        "runtime option annotations: spec, pod or image is expected, not string \"all\""
    );
}

#[test]
fn directories_are_opened_by_an_option_as_by_an_annotation() {
    let preopens = |text: &str| Options::from_toml(text).map(|options| options.further.preopens);
    assert_eq!(preopens("[engine]\n"), Ok(None));
    assert_eq!(preopens("[engine]\npreopens = []"), Ok(Some(Vec::new())));
    let list = ["default", "/in:/data:ro"].map(|entry| Preopen::parse(entry).unwrap());
    assert_eq!(preopens("[engine]\npreopens = [\"default\", \"/in:/data:ro\"]"), Ok(Some(list.into())));
    let error = preopens("[engine]\npreopens = [\"data\"]").unwrap_err().to_string();
    assert!(error.contains("runtime option engine.preopens: a list of") && error.contains("\"data\""), "{error}");
}

#[test]
fn plugins_have_a_directory_names_and_an_environment() {
    let text = "[plugins]\ndir = \"/opt/plugins\"\nload = [\"a\", \"libb\"]\n[plugins.env]\nX = \"1\"\n";
    let plugins = Options::from_toml(text).unwrap().sandbox.plugins;
    assert_eq!(
        (plugins.directory.to_str(), &plugins.names[..]),
        (Some("/opt/plugins"), &["a".into(), "libb".into()][..])
    );
    assert_eq!(plugins.env, [("X".to_owned(), Secret::new("1".to_owned()))]);
    let error = |text: &str| Options::from_toml(text).unwrap_err().to_string();
    assert!(error("[plugins]\nload = [\"a\"]").contains("plugins.dir must say where they are"));
    assert!(error("[plugins]\ndir = \"plugins\"").contains("an absolute path is expected"));
    assert!(error("[plugins]\ndir = \"/p\"\nload = [\"../a\"]").contains("without a directory"));
    assert!(error("[plugins]\n[plugins.env]\nX = 1").contains("runtime option plugins.env.X"));
}

#[test]
fn runcs_own_options_are_understood() {
    let runc = RuncOptions { systemd_cgroup: true, binary_name: "crun".into(), ..RuncOptions::default() };
    let any =
        Any { type_url: "containerd.runc.v1.Options".into(), value: runc.write_to_bytes().unwrap(), ..Any::default() };
    assert!(given(&any).unwrap().sandbox.systemd_cgroup);
}

#[test]
fn unknown_options_and_types_are_tolerated() {
    assert_eq!(Options::from_toml("BinaryName = \"x\"\nFuture = 3\n[wasi]\na = 1\n").unwrap(), Options::default());
    let foreign = Any { type_url: "types.example/other.v1.Options".into(), value: vec![1, 2], ..Any::default() };
    assert_eq!(given(&foreign).unwrap(), Options::default());
}

#[test]
fn wrong_values_are_refused_and_named() {
    let error = |text: &str| Options::from_toml(text).unwrap_err().to_string();
    assert_eq!(
        error("SystemdCgroup = \"yes\""),
        "runtime option SystemdCgroup: true or false is expected, not string \"yes\""
    );
    assert_eq!(
        error("[log]\nlevel = \"loud\""),
        "runtime option log.level: off, error, warn, info, debug or trace is expected, not string \"loud\""
    );
    assert_eq!(error("engine = 3"), "runtime option engine: a section is expected, not integer 3");
    assert_eq!(
        error("[aot]\npolicy = \"always\""),
        "runtime option aot.policy: off, tiered, wait or require is expected, not string \"always\""
    );
    assert_eq!(
        error("[aot]\nwait_ms = -1"),
        "runtime option aot.wait_ms: a whole number of at most 4294967295 is expected, not integer -1"
    );
    assert!(error("SystemdCgroup = ").starts_with("runtime options are not TOML"));
}

#[test]
fn an_options_file_is_read_and_a_missing_one_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "NoPivotRoot = true").unwrap();
    let any = |path: &str| {
        let mut value = vec![0x12, u8::try_from(path.len()).unwrap()];
        value.extend(path.as_bytes());
        Any { type_url: TOML_OPTIONS.into(), value, ..Any::default() }
    };
    assert!(given(&any(file.path().to_str().unwrap())).unwrap().sandbox.no_pivot_root);
    assert!(given(&any("/no/such/file")).unwrap_err().to_string().starts_with("runtime options file /no/such/file:"));
}

proptest! {
    #[test]
    fn no_message_makes_it_panic(value in prop::collection::vec(any::<u8>(), 0..128)) {
        let _ = given(&Any { type_url: TOML_OPTIONS.into(), value, ..Any::default() });
    }

    #[test]
    fn booleans_of_any_other_type_are_refused(number: i64) {
        let text = format!("SystemdCgroup = {number}");
        prop_assert!(Options::from_toml(&text).is_err());
    }
}

#[test]
fn metrics_are_off_until_an_address_of_this_machine_alone_is_given() {
    let metrics = |text: &str| Options::from_toml(text).map(|options| options.further.metrics);
    assert_eq!(metrics(""), Ok(None));
    assert_eq!(metrics("[metrics]\n"), Ok(None));
    let address = "unix:///run/wasmedge-metrics.sock";
    assert_eq!(metrics(&format!("[metrics]\naddress = \"{address}\"")), Ok(Some(address.parse().unwrap())));
    assert_eq!(
        metrics("[metrics]\naddress = \"tcp://0.0.0.0:9107\"").unwrap_err().to_string(),
        "runtime option metrics.address: unix:///PATH of at most 90 bytes, or tcp://ADDRESS:PORT with a loopback address \
         is expected, not string \"tcp://0.0.0.0:9107\""
    );
}
