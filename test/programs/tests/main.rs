//! Real programs in containers. Each module is one of test/programs' folders, each test's name says what is true.
#![allow(missing_docs)]

mod assemblyscript;
mod c;
mod go;
mod python;
mod refused;
mod ripgrep;
mod rust;
mod zig;
