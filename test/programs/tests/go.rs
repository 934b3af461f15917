//! Go: its standard library, and HTTP and UDP over the published package github.com/stealthrocket/net.

mod files;
mod net;

const FILES: programs::Program = programs::Program { image: "program-go", module: "/files.wasm", linux: "/files" };
const NET: programs::Program = programs::Program { image: "program-go", module: "/net.wasm", linux: "/net" };
