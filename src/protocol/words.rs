//! Lists as options and annotations have them.

/// The words of a list that commas or spaces separate.
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split([',', ' ']).filter(|word| !word.is_empty())
}
