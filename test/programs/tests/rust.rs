//! Rust: the standard library, and WasmEdge's published variants of tokio and hyper, and its socket package.

mod files;
mod net;

use programs::Program;

const FS: Program = Program { image: "program-rust", module: "/fs.wasm", linux: "/fs" };
const UDP: Program = Program { image: "program-rust", module: "/udp.wasm", linux: "/udp" };
const WEB: Program = Program { image: "program-rust", module: "/web.wasm", linux: "/web" };
const ECHO: Program = Program { image: "program-rust", module: "/echo.wasm", linux: "/echo" };
