//! Bills of materials: SPDX 2.3 and CycloneDX 1.6, as JSON.

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::materials::Material;

/// What the bills are of.
pub struct Product<'a> {
    /// Its file's name.
    pub name: &'a str,
    /// Its version.
    pub version: &'a str,
    /// The SHA-256 of its file, as hexadecimal digits.
    pub sha256: &'a str,
    /// When it was made, in seconds of Unix time: of its last commit, so that the same source makes the same bill.
    pub made: i64,
}

impl Product<'_> {
    fn made(&self) -> Result<String> {
        Ok(Timestamp::from_second(self.made).context("no time")?.to_string())
    }

    /// An SPDX document (spdx.github.io/spdx-spec/v2.3).
    ///
    /// # Errors
    /// The time is none.
    pub fn spdx(&self, materials: &[Material]) -> Result<Value> {
        let package = |material: &Material, id: String| {
            json!({
                "SPDXID": id,
                "name": material.name,
                "versionInfo": material.version,
                "downloadLocation": "NOASSERTION",
                "licenseDeclared": material.licence.as_deref().map_or("NOASSERTION".to_owned(), |text| text.replace('/', " OR ")),
                "externalRefs": [{
                    "referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": material.purl,
                }],
            })
        };
        let own = json!({
            "SPDXID": "SPDXRef-product",
            "name": self.name,
            "versionInfo": self.version,
            "downloadLocation": "NOASSERTION",
            "licenseDeclared": "Apache-2.0",
            "checksums": [{"algorithm": "SHA256", "checksumValue": self.sha256}],
        });
        let id = |index: usize| format!("SPDXRef-{index}");
        let packages: Vec<_> = std::iter::once(own)
            .chain(materials.iter().enumerate().map(|(index, one)| package(one, id(index))))
            .collect();
        let contains = |index: usize| json!({"spdxElementId": "SPDXRef-product", "relationshipType": "CONTAINS", "relatedSpdxElement": id(index)});
        let describes = json!({
            "spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": "SPDXRef-product",
        });
        let relationships: Vec<_> = std::iter::once(describes).chain((0..materials.len()).map(contains)).collect();
        Ok(json!({
            "spdxVersion": "SPDX-2.3",
            "dataLicense": "CC0-1.0",
            "SPDXID": "SPDXRef-DOCUMENT",
            "name": self.name,
            "documentNamespace": format!("urn:sha256:{}", self.sha256),
            "creationInfo": {"created": self.made()?, "creators": ["Tool: dist-tools"]},
            "packages": packages,
            "relationships": relationships,
        }))
    }

    /// A CycloneDX document (cyclonedx.org/docs/1.6/json).
    ///
    /// # Errors
    /// The time is none.
    pub fn cyclonedx(&self, materials: &[Material]) -> Result<Value> {
        let component = |material: &Material| {
            let mut component = json!({
                "type": "library", "name": material.name, "version": material.version, "purl": material.purl, "bom-ref": material.purl,
            });
            if let Some(licence) = &material.licence {
                component["licenses"] = json!([{"expression": licence.replace('/', " OR ")}]);
            }
            component
        };
        Ok(json!({
            "bomFormat": "CycloneDX",
            "specVersion": "1.6",
            "version": 1,
            "metadata": {
                "timestamp": self.made()?,
                "component": {
                    "type": "application", "name": self.name, "version": self.version,
                    "hashes": [{"alg": "SHA-256", "content": self.sha256}],
                },
            },
            "components": materials.iter().map(component).collect::<Vec<_>>(),
        }))
    }
}
