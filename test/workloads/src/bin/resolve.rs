//! Prints the IPv4 addresses of a host, one a line, as the engine's `sock_getaddrinfo` finds them. Else it says
//! `HOST: lookup failed: errno N` and exits with 1; from 77 on the numbers are WasmEdge's own (84: no such name).
//!
//! usage: resolve HOST

fn main() {
    let host: String = workloads::argument(1, "resolve HOST");
    let found = wasmedge_wasi_socket::nslookup(&host, "80").map_err(|error| {
        format!(
            "lookup failed: errno {}",
            error.raw_os_error().unwrap_or(-1)
        )
    });
    let mut addresses: Vec<_> = workloads::or_exit(&host, found)
        .iter()
        .map(|address| address.ip())
        .collect();
    addresses.sort();
    addresses.dedup();
    for address in addresses {
        println!("{address}");
    }
}
