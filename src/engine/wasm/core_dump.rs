//! What a module left behind when it trapped, in the format of WebAssembly's tool conventions (`Coredump.md`): a module with
//! custom sections for the stack, and its memory as data.
//!
//! WasmEdge 0.17.1 has no way to ask for its own core dumps through the C API; they lack the memory, and copy eight bytes
//! into four. This one has what the API shows: the memories that are exported, and of each frame the function. It is
//! written piece by piece, as there may be no memory left to put it together.

use std::io::{self, Write};

use super::config::PAGE;

/// Section ids.
const CUSTOM: u8 = 0;
const MEMORY: u8 = 5;
const DATA: u8 = 11;

/// A memory is looked at in pieces of this size: one of zeros is left out.
const PIECE: usize = PAGE as usize;

/// What is dumped.
pub struct CoreDump<'a> {
    /// Name of the program.
    pub program: &'a str,
    /// Indices of the functions that were running, the innermost first.
    pub frames: &'a [u32],
    /// Content of the memories, each some pages long.
    pub memories: &'a [&'a [u8]],
}

/// A part of a memory.
struct Segment<'a> {
    memory: u32,
    offset: u64,
    content: &'a [u8],
}

impl CoreDump<'_> {
    /// Writes it, with at most `most` bytes of memory, from the beginning; whether that was all. Pages of zeros do not
    /// count, and are not written.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write(&self, mut out: impl Write, most: u64) -> io::Result<bool> {
        out.write_all(b"\0asm\x01\0\0\0")?;
        custom(&mut out, "core", |body| {
            body.push(0);
            name(body, self.program);
        })?;
        custom(&mut out, "coremodules", |body| {
            body.extend([1, 0]);
            name(body, self.program);
        })?;
        custom(&mut out, "coreinstances", |body| {
            // One, of the first module, with its memories and no globals.
            body.extend([1, 0, 0]);
            number(body, self.memories.len() as u64);
            (0..self.memories.len()).for_each(|index| number(body, index as u64));
            number(body, 0);
        })?;
        custom(&mut out, "corestack", |body| self.stack(body))?;
        let mut body = Vec::new();
        number(&mut body, self.memories.len() as u64);
        for memory in self.memories {
            body.push(0);
            number(&mut body, memory.len() as u64 / PAGE);
        }
        section(&mut out, MEMORY, body.len() as u64)?;
        out.write_all(&body)?;
        self.data(&mut out, most)
    }

    fn stack(&self, body: &mut Vec<u8>) {
        body.push(0);
        name(body, "main");
        number(body, self.frames.len() as u64);
        for function in self.frames {
            // Of the first instance; where in the function is not known, nor are locals and operands.
            body.extend([0, 0]);
            number(body, u64::from(*function));
            body.extend([0, 0, 0]);
        }
    }

    fn data(&self, out: &mut impl Write, most: u64) -> io::Result<bool> {
        let kept = most / PAGE;
        let segments = || self.segments().take(usize::try_from(kept).unwrap_or(usize::MAX));
        let (count, all) = (segments().count(), self.segments().count());
        let mut head = Vec::new();
        number(&mut head, count as u64);
        let sizes: u64 = segments().map(|segment| (segment.head().len() + segment.content.len()) as u64).sum();
        section(out, DATA, head.len() as u64 + sizes)?;
        out.write_all(&head)?;
        for segment in segments() {
            out.write_all(&segment.head())?;
            out.write_all(segment.content)?;
        }
        Ok(count == all)
    }

    fn segments(&self) -> impl Iterator<Item = Segment<'_>> {
        self.memories.iter().enumerate().flat_map(|(memory, content)| {
            let pieces = content.chunks(PIECE).enumerate();
            let used = pieces.filter(|(_, piece)| piece.iter().any(|byte| *byte != 0));
            used.map(move |(index, content)| Segment { memory: memory as u32, offset: (index * PIECE) as u64, content })
        })
    }
}

impl Segment<'_> {
    /// An active segment: its memory, where it goes as a constant expression, its length.
    fn head(&self) -> Vec<u8> {
        const I32_CONST: u8 = 0x41;
        const END: u8 = 0x0b;
        let mut head = Vec::new();
        if self.memory == 0 {
            head.push(0);
        } else {
            head.push(2);
            number(&mut head, u64::from(self.memory));
        }
        head.push(I32_CONST);
        signed(&mut head, i64::from(self.offset as u32 as i32));
        head.push(END);
        number(&mut head, self.content.len() as u64);
        head
    }
}

fn custom(out: &mut impl Write, title: &str, fill: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
    let mut body = Vec::new();
    name(&mut body, title);
    fill(&mut body);
    section(out, CUSTOM, body.len() as u64)?;
    out.write_all(&body)
}

fn section(out: &mut impl Write, id: u8, length: u64) -> io::Result<()> {
    let mut head = vec![id];
    number(&mut head, length);
    out.write_all(&head)
}

fn name(body: &mut Vec<u8>, text: &str) {
    number(body, text.len() as u64);
    body.extend(text.as_bytes());
}

/// Unsigned LEB128.
fn number(body: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        body.push(value as u8 | 0x80);
        value >>= 7;
    }
    body.push(value as u8);
}

/// Signed LEB128.
fn signed(body: &mut Vec<u8>, mut value: i64) {
    loop {
        let low = value as u8 & 0x7f;
        value >>= 7;
        if value == -i64::from(low & 0x40 != 0) {
            body.push(low);
            return;
        }
        body.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmparser::{Parser, Payload};

    const FRAMES: [u32; 3] = [7, 300, 2];

    fn dumped(memories: &[&[u8]], most: u64) -> (Vec<u8>, bool) {
        let mut bytes = Vec::new();
        let complete = CoreDump { program: "a.wasm", frames: &FRAMES, memories }.write(&mut bytes, most).unwrap();
        (bytes, complete)
    }

    /// The segments of a dump: memory, offset, length.
    fn segments(bytes: &[u8]) -> Vec<(u32, i32, usize)> {
        let mut found = Vec::new();
        for payload in Parser::new(0).parse_all(bytes) {
            if let Payload::DataSection(data) = payload.unwrap() {
                for segment in data {
                    let segment = segment.unwrap();
                    let wasmparser::DataKind::Active { memory_index, offset_expr } = segment.kind else { panic!() };
                    let offset = match offset_expr.get_operators_reader().read().unwrap() {
                        wasmparser::Operator::I32Const { value } => value,
                        other => panic!("{other:?}"),
                    };
                    found.push((memory_index, offset, segment.data.len()));
                }
            }
        }
        found
    }

    #[test]
    fn others_can_read_it() {
        let (bytes, complete) = dumped(&[&[1; 2 * PIECE]], u64::MAX);
        assert!(complete);
        let mut seen = Vec::new();
        for payload in Parser::new(0).parse_all(&bytes) {
            if let Payload::CustomSection(section) = payload.unwrap() {
                match section.as_known() {
                    wasmparser::KnownCustom::CoreDump(core) => assert_eq!(core.name, "a.wasm"),
                    wasmparser::KnownCustom::CoreDumpStack(stack) => {
                        let functions: Vec<u32> = stack.frames.iter().map(|frame| frame.funcidx).collect();
                        assert_eq!((stack.name, functions), ("main", FRAMES.to_vec()));
                    }
                    wasmparser::KnownCustom::CoreDumpModules(modules) => assert_eq!(modules.modules, ["a.wasm"]),
                    wasmparser::KnownCustom::CoreDumpInstances(instances) => {
                        assert_eq!(instances.instances[0].memories, [0]);
                    }
                    _ => panic!("section {}", section.name()),
                }
                seen.push(section.name().to_owned());
            }
        }
        assert_eq!(seen, ["core", "coremodules", "coreinstances", "corestack"]);
    }

    #[test]
    fn pages_of_zeros_are_left_out_and_what_is_too_much_too() {
        let mut memory = vec![0; 70 * PIECE];
        for page in [3, 5, 40] {
            memory[page * PIECE + 100] = 1;
        }
        let page = PIECE as i32;
        let (bytes, complete) = dumped(&[&memory, &[9; PIECE]], u64::MAX);
        assert!(complete);
        let all = [(0, 3 * page, PIECE), (0, 5 * page, PIECE), (0, 40 * page, PIECE), (1, 0, PIECE)];
        assert_eq!(segments(&bytes), all);
        let (bytes, complete) = dumped(&[&memory, &[9; PIECE]], 2 * PAGE);
        assert!(!complete && bytes.len() < 3 * PIECE);
        assert_eq!(segments(&bytes), all[..2]);
        let (bytes, complete) = dumped(&[], 0);
        assert!(complete && segments(&bytes).is_empty());
    }
}
