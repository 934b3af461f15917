//! Who asks for native code: compilers and room in the cache are shared out between tenants, not between requests.

use std::fmt;

use sha2::{Digest, Sha256};

use super::identity::hex;

/// Somebody whose containers belong together: a namespace of containerd or, of Kubernetes, one of the cluster's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tenant([u8; 8]);

impl Tenant {
    /// The node's own people.
    pub const ADMIN: Self = Self([0; 8]);

    /// Called `name`, which may be anything.
    pub fn new(name: &str) -> Self {
        let mut id = [0; 8];
        id.copy_from_slice(&Sha256::digest(name)[..8]);
        Self(id)
    }

    /// With this [`Self::id`].
    #[cfg(test)]
    pub fn with_id(id: [u8; 8]) -> Self {
        Self(id)
    }

    /// What tells it from others.
    pub fn id(self) -> [u8; 8] {
        self.0
    }
}

/// 16 hexadecimal digits, for names of files.
impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl std::str::FromStr for Tenant {
    type Err = ();

    fn from_str(digits: &str) -> Result<Self, ()> {
        let number = u64::from_str_radix(digits, 16).ok().filter(|_| digits.len() == 16).ok_or(())?;
        Ok(Self(number.to_be_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_is_known_by_the_digits_of_its_name() {
        let tenant = Tenant::new("k8s.io/../\n");
        assert_eq!(tenant.to_string().parse(), Ok(tenant));
        assert_eq!(Tenant::ADMIN.to_string().parse(), Ok(Tenant::ADMIN));
        assert_ne!(tenant, Tenant::new("default"));
        assert_eq!("xyz".parse::<Tenant>(), Err(()));
        assert_eq!("12".parse::<Tenant>(), Err(()));
    }
}
