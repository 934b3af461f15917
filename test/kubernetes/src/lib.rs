//! Tools of the tests in Kubernetes: a namespace for each test, objects by the API, and `kubectl` where people use it.
//!
//! Tests run side by side. What is left in the node is compared when the last of those that ran together has ended.

pub mod api;
mod namespace;
pub mod node;
pub mod pod;

pub use namespace::Namespace;

/// Makes a test of each function named, for each kind of container, all of them unless told otherwise: of
/// `fn it_works(space: &Namespace, kind: Kind)` the tests `it_works::wasm`, `it_works::linux` and `it_works::runc`.
#[macro_export]
macro_rules! for_kinds {
    (@test $name:ident Wasm) => { #[test] fn wasm() { super::$name(&$crate::Namespace::new(), e2e::Kind::Wasm) } };
    (@test $name:ident Linux) => { #[test] fn linux() { super::$name(&$crate::Namespace::new(), e2e::Kind::Linux) } };
    (@test $name:ident Runc) => { #[test] fn runc() { super::$name(&$crate::Namespace::new(), e2e::Kind::Runc) } };
    (@tests $name:ident) => { $crate::for_kinds!(@tests $name Wasm Linux Runc); };
    (@tests $name:ident $($kind:ident)+) => { $($crate::for_kinds!(@test $name $kind);)+ };
    ($($name:ident $(: $($kind:ident)+)?;)+) => {
        $(mod $name { $crate::for_kinds!(@tests $name $($($kind)+)?); })+
    };
}
