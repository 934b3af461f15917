//! Sends back whatever its clients send, many clients at a time. Says `listening on PORT` when it is ready.
//!
//! usage: tcp-echo PORT

use workloads::serve::serve;

fn main() {
    let port = workloads::argument(1, "tcp-echo PORT");
    let end = serve(port, |connection| {
        connection.output.append(&mut connection.input)
    });
    workloads::or_exit("tcp-echo", end);
}
