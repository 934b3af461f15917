//! What the API server answers.

use kube::Error;

/// Whether the API server has answered with this HTTP status.
pub fn is_code(error: &Error, code: u16) -> bool {
    matches!(error, Error::Api(status) if status.code == code)
}

/// Whether it is the request that is wrong, so that asking again is of no use. An API server that is away or starts again, as
/// that of k3s does with its containerd, answers otherwise.
pub fn is_refused(error: &Error) -> bool {
    matches!(error, Error::Api(status) if (400..500).contains(&status.code) && ![408, 409, 429].contains(&status.code))
}
