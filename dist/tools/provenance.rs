//! Where files come from: a statement of in-toto with a predicate of SLSA (slsa.dev/spec/v1.0/provenance), in the envelope that is
//! signed (DSSE, github.com/secure-systems-lab/dsse).

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::materials::Material;

/// The type of the statement.
const TYPE: &str = "application/vnd.in-toto+json";

/// The statement on the files that `sums`, as sha256sum(1) writes it, lists.
///
/// # Errors
/// A line is none of sha256sum's.
pub fn statement(sums: &str, commit: &str, materials: &[Material]) -> Result<Value> {
    let subject = |line: &str| {
        let (digest, name) = line.split_once("  ")?;
        (digest.len() == 64).then(|| json!({"name": name, "digest": {"sha256": digest}}))
    };
    let subjects: Vec<_> = sums
        .lines()
        .map(|line| subject(line).with_context(|| format!("not a checksum: {line}")))
        .collect::<Result<_>>()?;
    let source = json!({"name": "source", "digest": {"gitCommit": commit}});
    let dependency = |material: &Material| json!({"uri": material.purl});
    let dependencies: Vec<_> = std::iter::once(source).chain(materials.iter().map(dependency)).collect();
    Ok(json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": subjects,
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "containerd-shim-wasmedge:make-dist:v1",
                "externalParameters": {"target": "dist"},
                "resolvedDependencies": dependencies,
            },
            "runDetails": {"builder": {"id": "containerd-shim-wasmedge:dist"}},
        },
    }))
}

/// The bytes that are signed for a statement.
pub fn to_be_signed(statement: &str) -> String {
    format!("DSSEv1 {} {TYPE} {} {statement}", TYPE.len(), statement.len())
}

/// The envelope with a statement and its signature, both in base64.
pub fn envelope(statement: &str, signature: &str) -> Value {
    json!({"payloadType": TYPE, "payload": statement, "signatures": [{"sig": signature}]})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_names_each_file_and_refuses_what_is_no_sum() {
        let digest = "a".repeat(64);
        let statement = statement(&format!("{digest}  one\n{digest}  two\n"), "c0ffee", &[]).unwrap();
        assert_eq!(statement["subject"][1], json!({"name": "two", "digest": {"sha256": digest}}));
        assert_eq!(
            statement["predicate"]["buildDefinition"]["resolvedDependencies"][0]["digest"]["gitCommit"],
            "c0ffee"
        );
        assert!(super::statement("abc one", "c0ffee", &[]).is_err());
    }

    #[test]
    fn what_is_signed_has_the_lengths() {
        assert_eq!(to_be_signed("{}"), "DSSEv1 28 application/vnd.in-toto+json 2 {}");
    }
}
