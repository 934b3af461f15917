//! The shim's file: a payload behind its end, and where that is told in its descriptor.

use anyhow::{Result, ensure};
use sha2::{Digest, Sha256};
use wasmedge_shim_payload::{Descriptor, MAGIC};

/// The manifest begins at a multiple of this, as a page does.
const ALIGNMENT: usize = 4096;

/// The shim with a payload.
pub fn with_payload(mut shim: Vec<u8>, manifest: &[u8], compressed: &[u8]) -> Result<Vec<u8>> {
    let places: Vec<_> =
        shim.windows(MAGIC.len()).enumerate().filter(|(_, bytes)| *bytes == MAGIC).map(|(place, _)| place).collect();
    let [descriptor] = places[..] else { anyhow::bail!("the shim has {} descriptors, not one", places.len()) };
    let fields = descriptor + MAGIC.len()..descriptor + size_of::<Descriptor>();
    ensure!(shim[fields.clone()].iter().all(|byte| *byte == 0), "the shim has a payload already");
    let offset = shim.len().next_multiple_of(ALIGNMENT);
    let numbers = [offset, manifest.len(), compressed.len()].map(|number| (number as u64).to_le_bytes()).concat();
    shim[fields].copy_from_slice(&[numbers, Sha256::digest(manifest).to_vec()].concat());
    shim.resize(offset, 0);
    shim.extend_from_slice(manifest);
    shim.extend_from_slice(compressed);
    Ok(shim)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shim() -> Vec<u8> {
        [b"before".to_vec(), MAGIC.to_vec(), vec![0; 56], b"behind".to_vec()].concat()
    }

    #[test]
    fn a_payload_is_behind_the_shim_and_told_in_its_descriptor() {
        let packed = with_payload(shim(), b"manifest", b"compressed").unwrap();
        assert_eq!(&packed[4096..], b"manifestcompressed");
        let number = |at: usize| u64::from_le_bytes(packed[6 + at..6 + at + 8].try_into().unwrap());
        assert_eq!([number(16), number(24), number(32)], [4096, 8, 10]);
        assert_eq!(packed[6 + 40..6 + 72], Sha256::digest(b"manifest")[..]);
        assert_eq!(&packed[78..84], b"behind");
    }

    #[test]
    fn a_shim_gets_one_payload_and_only_a_shim() {
        let packed = with_payload(shim(), b"m", b"c").unwrap();
        assert!(with_payload(packed, b"m", b"c").unwrap_err().to_string().contains("already"));
        assert!(
            with_payload(b"something else".to_vec(), b"m", b"c").unwrap_err().to_string().contains("0 descriptors")
        );
    }
}
