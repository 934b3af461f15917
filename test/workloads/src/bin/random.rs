//! Prints 16 random bytes as 32 hexadecimal digits.
//!
//! usage: random

#[link(wasm_import_module = "wasi_snapshot_preview1")]
unsafe extern "C" {
    fn random_get(buffer: *mut u8, length: usize) -> u16;
}

fn main() {
    let mut bytes = [0; 16];
    // SAFETY: the host writes `length` bytes at most.
    let errno = unsafe { random_get(bytes.as_mut_ptr(), bytes.len()) };
    if errno != 0 {
        workloads::or_exit(
            "random_get",
            Err::<(), _>(std::io::Error::from_raw_os_error(errno.into())),
        );
    }
    println!("{:032x}", u128::from_be_bytes(bytes));
}
