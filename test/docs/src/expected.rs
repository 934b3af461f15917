//! What a block says that a command prints, against what it printed.

/// Stands for any lines where it is alone in one, and for any characters within one.
const ANY: char = '…';

/// Whether `actual` is what `expected` says. Blanks at the ends of lines and empty lines at the end do not count.
pub fn matches(expected: &[String], actual: &str) -> bool {
    let actual: Vec<&str> = actual.trim_end().lines().map(str::trim_end).collect();
    lines_match(expected, &actual)
}

fn lines_match(expected: &[String], actual: &[&str]) -> bool {
    match expected.split_first() {
        None => actual.is_empty(),
        Some((first, rest)) if first.strip_prefix(ANY) == Some("") => {
            (0..=actual.len()).any(|skipped| lines_match(rest, &actual[skipped..]))
        }
        Some((first, rest)) => {
            actual.split_first().is_some_and(|(line, later)| line_matches(first, line) && lines_match(rest, later))
        }
    }
}

fn line_matches(expected: &str, line: &str) -> bool {
    let mut parts = expected.split(ANY);
    let Some(mut left) = parts.next().and_then(|start| line.strip_prefix(start)) else { return false };
    let Some(end) = parts.next_back() else { return left.is_empty() };
    for part in parts {
        let Some((_, later)) = left.split_once(part) else { return false };
        left = later;
    }
    left.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(expected: &str, actual: &str) -> bool {
        let expected: Vec<String> = expected.lines().map(String::from).collect();
        matches(&expected, actual)
    }

    #[test]
    fn the_same_is_expected_where_nothing_is_left_open() {
        assert!(says("a\nb", "a  \nb\n\n"));
        assert!(says("", ""));
        assert!(!says("a", ""));
        assert!(!says("", "a"));
        assert!(!says("a\nb", "a\nb\nc"));
        assert!(!says("ab", "abc"));
    }

    #[test]
    fn a_mark_alone_stands_for_any_lines() {
        assert!(says("…", ""));
        assert!(says("…", "a\nb"));
        assert!(says("a\n…\nd", "a\nb\nc\nd"));
        assert!(!says("a\n…\nd", "a\nb\nc"));
    }

    #[test]
    fn a_mark_in_a_line_stands_for_any_characters_of_it() {
        assert!(says("took … ms, …", "took 12 ms, at most"));
        assert!(says("…: x", "one: x"));
        assert!(!says("took … ms", "took 12 s"));
        assert!(!says("a…a", "a"), "a character counts once");
        assert!(!says("a…b", "a\nb"));
    }
}
