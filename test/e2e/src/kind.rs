//! What is run by which runtime.

/// A runtime together with what it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A module under this runtime.
    Wasm,
    /// A Linux program under this runtime.
    Linux,
    /// The same Linux program under runc, which tells how it should behave.
    Runc,
}

impl Kind {
    /// The runtime's name, as Docker and containerd take it.
    pub fn runtime(self) -> &'static str {
        match self {
            Self::Wasm | Self::Linux => "io.containerd.wasmedge.v1",
            Self::Runc => "io.containerd.runc.v2",
        }
    }

    /// The image with the programs for it.
    pub fn image(self) -> &'static str {
        match self {
            Self::Wasm => "localhost/wasm:latest",
            Self::Linux | Self::Runc => "localhost/busybox:latest",
        }
    }

    /// What differs between kinds: the one for modules, or the one for Linux programs.
    pub fn either<T>(self, wasm: T, linux: T) -> T {
        if self == Self::Wasm { wasm } else { linux }
    }

    /// Words of a command that says `sleeping` and then sleeps for ten minutes.
    pub fn sleeper(self) -> Vec<&'static str> {
        self.either(vec!["/sleep.wasm", "600"], vec!["sh", "-c", "echo sleeping; exec sleep 600"])
    }

    /// Words of a command that says `ready` and then copies its input to its output, piece by piece.
    pub fn echoer(self) -> Vec<&'static str> {
        self.either(vec!["/cat.wasm", "ready"], vec!["sh", "-c", "echo ready; exec cat"])
    }

    /// Words of a command that ends with this exit code.
    pub fn exiter(self, code: i32) -> Vec<String> {
        let linux = vec!["sh".into(), "-c".into(), format!("exit {code}")];
        self.either(vec!["/exit.wasm".into(), code.to_string()], linux)
    }
}

/// Makes a test of each function named, for each kind of container, all of them unless told otherwise: of
/// `fn it_works(scene: &Scene, kind: Kind)` the tests `it_works::wasm`, `it_works::linux` and `it_works::runc`.
///
/// ```ignore
/// for_kinds! {
///     it_works;
///     it_has_a_kernel: Linux Runc;
/// }
/// ```
#[macro_export]
macro_rules! for_kinds {
    (@test $name:ident Wasm) => { #[test] fn wasm() { super::$name(&$crate::Scene::new(), $crate::Kind::Wasm) } };
    (@test $name:ident Linux) => { #[test] fn linux() { super::$name(&$crate::Scene::new(), $crate::Kind::Linux) } };
    (@test $name:ident Runc) => { #[test] fn runc() { super::$name(&$crate::Scene::new(), $crate::Kind::Runc) } };
    (@tests $name:ident) => { $crate::for_kinds!(@tests $name Wasm Linux Runc); };
    (@tests $name:ident $($kind:ident)+) => { $($crate::for_kinds!(@test $name $kind);)+ };
    ($($name:ident $(: $($kind:ident)+)?;)+) => {
        $(mod $name { $crate::for_kinds!(@tests $name $($($kind)+)?); })+
    };
}

/// Panics unless `lines` are the same for `kind` and for runc, and says in one line where they differ.
#[track_caller]
pub fn expect_as_under_runc(kind: Kind, lines: impl Fn(Kind) -> Vec<String>) {
    let (here, there) = (lines(kind), lines(Kind::Runc));
    assert!(!there.is_empty(), "nothing to compare");
    let only = |these: &[String], those: &[String]| -> Vec<String> {
        these.iter().filter(|line| !those.contains(line)).cloned().collect()
    };
    let (ours, theirs) = (only(&here, &there), only(&there, &here));
    assert!(
        here == there,
        "not as under runc; only here: {ours:?}, only there: {theirs:?}\n  here: {here:#?}\n  there: {there:#?}"
    );
}
