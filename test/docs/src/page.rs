//! The console blocks of a page, with the marks that stand before them in the page's source.
//!
//! | Mark, an HTML comment | Means |
//! |---|---|
//! | `<!-- not run: REASON -->` | the block is not run |
//! | `<!-- first: COMMAND -->` | run before the block, and must succeed |
//! | `<!-- last: COMMAND -->` | run after the block, and must succeed |
//! | `<!-- exit codes: 0 125 -->` | those of the block's commands, 0 each without it |

/// A fenced block of the language `console`.
#[derive(Debug, Default, PartialEq)]
pub struct Block {
    /// The line of the page where it begins, from 1 on.
    pub line: usize,
    /// Why it is not run, if it is not.
    pub not_run: Option<String>,
    /// What comes before it.
    pub first: Vec<String>,
    /// What comes after it.
    pub last: Vec<String>,
    /// What it shows.
    pub commands: Vec<Command>,
}

/// What somebody types, and what comes of it.
#[derive(Debug, Default, PartialEq)]
pub struct Command {
    /// The command, without its prompt.
    pub text: String,
    /// The lines that it prints, on both streams.
    pub expected: Vec<String>,
    /// Its exit code.
    pub code: i32,
}

/// Languages of blocks that would have commands in them that nobody runs.
const UNTESTED: [&str; 4] = ["", "sh", "bash", "shell"];

/// The blocks of a page.
///
/// # Errors
/// The line and the fault: a mark without a block or without a meaning, a block that does not begin with a command, or
/// of a language that hides commands from this test.
pub fn blocks(text: &str) -> Result<Vec<Block>, String> {
    let mut blocks = Vec::new();
    let mut marks: Vec<(usize, &str)> = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let number = number + 1;
        if let Some(mark) = line.strip_prefix("<!-- ").and_then(|rest| rest.strip_suffix(" -->")) {
            if mark.contains(": ") {
                marks.push((number, mark));
            }
            continue;
        }
        let Some(language) = line.trim_start().strip_prefix("```") else {
            match marks.first() {
                Some((at, mark)) if !line.is_empty() => return Err(format!("{at}: no console block follows {mark:?}")),
                _ => continue,
            }
        };
        let content: Vec<&str> = lines.by_ref().map(|(_, line)| line).take_while(|line| line.trim() != "```").collect();
        match language {
            "console" => blocks.push(block(number, &std::mem::take(&mut marks), &content)?),
            _ if UNTESTED.contains(&language) => {
                return Err(format!("{number}: commands are in blocks of the language console, not {language}"));
            }
            _ if marks.is_empty() => {}
            _ => return Err(format!("{number}: no console block follows {:?}", marks[0].1)),
        }
    }
    match marks.first() {
        Some((at, mark)) => Err(format!("{at}: no console block follows {mark:?}")),
        None => Ok(blocks),
    }
}

fn block(line: usize, marks: &[(usize, &str)], content: &[&str]) -> Result<Block, String> {
    let mut block = Block { line, commands: commands(line, content)?, ..Block::default() };
    for (at, mark) in marks {
        match mark.split_once(": ") {
            Some(("not run", reason)) => block.not_run = Some(reason.to_owned()),
            Some(("first", command)) => block.first.push(command.to_owned()),
            Some(("last", command)) => block.last.push(command.to_owned()),
            Some(("exit codes", codes)) => {
                let codes: Vec<i32> = codes.split(' ').flat_map(str::parse).collect();
                if codes.len() != block.commands.len() {
                    return Err(format!("{at}: {} exit codes for {} commands", codes.len(), block.commands.len()));
                }
                for (command, code) in block.commands.iter_mut().zip(codes) {
                    command.code = code;
                }
            }
            _ => return Err(format!("{at}: unknown mark {mark:?}")),
        }
    }
    Ok(block)
}

fn commands(line: usize, content: &[&str]) -> Result<Vec<Command>, String> {
    let mut commands: Vec<Command> = Vec::new();
    let mut continued = false;
    for text in content {
        let typed = text.strip_prefix("$ ").or_else(|| text.strip_prefix("# "));
        match (commands.last_mut(), typed) {
            (Some(command), _) if continued => {
                command.text.push('\n');
                command.text.push_str(text);
                continued = text.ends_with('\\');
            }
            (_, Some(typed)) => {
                commands.push(Command { text: typed.to_owned(), ..Command::default() });
                continued = typed.ends_with('\\');
            }
            (Some(command), None) => command.expected.push((*text).to_owned()),
            (None, None) => return Err(format!("{line}: a console block begins with a command, not {text:?}")),
        }
    }
    if commands.is_empty() { Err(format!("{line}: a console block without a command")) } else { Ok(commands) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_and_what_they_print_are_told_apart() {
        let page = "text\n```console\n$ one a \\\n    b\nout\n\nput\n# two\n```\n";
        let found = blocks(page).unwrap();
        assert_eq!((found.len(), found[0].line), (1, 2));
        let [one, two] = &found[0].commands[..] else { panic!("{found:?}") };
        assert_eq!((one.text.as_str(), one.expected.join("|").as_str()), ("one a \\\n    b", "out||put"));
        assert_eq!((two.text.as_str(), two.expected.len()), ("two", 0));
    }

    #[test]
    fn marks_belong_to_the_block_that_follows() {
        let page = "<!-- first: x: y -->\n<!-- exit codes: 0 7 -->\n\n```console\n$ a\n$ b\n```\n```console\n$ c\n```\n\
                    <!-- not run: no Kubernetes -->\n```console\n$ d\n```\n<!-- cost -->\n```toml\na = 1\n```\n";
        let found = blocks(page).unwrap();
        assert_eq!(found[0].first, ["x: y"]);
        assert_eq!(found[0].commands.iter().map(|command| command.code).collect::<Vec<_>>(), [0, 7]);
        assert_eq!((&found[1].first[..], &found[1].not_run), (&[][..], &None));
        assert_eq!(found[2].not_run.as_deref(), Some("no Kubernetes"));
    }

    #[test]
    fn nothing_is_left_out_in_silence() {
        for (page, cause) in [
            ("```sh\nls\n```\n", "1: commands are in blocks of the language console, not sh"),
            ("```console\nls\n```\n", "1: a console block begins with a command, not \"ls\""),
            ("```console\n```\n", "1: a console block without a command"),
            ("<!-- not run: x -->\ntext\n", "1: no console block follows \"not run: x\""),
            ("<!-- not run: x -->\n```toml\n```\n", "2: no console block follows \"not run: x\""),
            ("<!-- not run: x -->\n", "1: no console block follows \"not run: x\""),
            ("<!-- not-run: x -->\n```console\n$ a\n```\n", "1: unknown mark \"not-run: x\""),
            ("<!-- exit codes: 1 -->\n```console\n$ a\n$ b\n```\n", "1: 1 exit codes for 2 commands"),
        ] {
            assert_eq!(blocks(page), Err(cause.into()), "{page}");
        }
    }
}
