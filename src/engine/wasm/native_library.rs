//! Native code that our compiler wrote, mapped into this process from a descriptor.
//!
//! The dynamic linker takes paths only, and a path of a container leads where its processes want it to lead. What WasmEdge's
//! compiler writes hardly needs a linker: a shared library without constructors, other libraries and relocations but those of
//! a few functions that LLVM calls. So its segments are mapped here, its imports bound, and its symbols looked up. Anything
//! more in such a file is refused.
//!
//! ELF-64: System V ABI, chapters 4 and 5.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
};

use elf::{
    ElfBytes, abi, endian::NativeEndian, hash::SysVHashTable, segment::ProgramHeader, string_table::StringTable,
    symbol::SymbolTable,
};

use super::imports::{Import, TAGS, imports, is_known};

#[cfg(target_arch = "x86_64")]
const MACHINE: u16 = abi::EM_X86_64;
#[cfg(target_arch = "aarch64")]
const MACHINE: u16 = abi::EM_AARCH64;

/// Most address space that native code may take, in bytes: the compiler's output is bounded by a quarter of that.
const MAX_SPAN: u64 = 4 << 30;

/// What the dynamic section may hold: where symbols are, and what asks for nothing.
const HARMLESS: [i64; 9] = [
    abi::DT_NULL,
    abi::DT_SYMTAB,
    abi::DT_SYMENT,
    abi::DT_STRTAB,
    abi::DT_STRSZ,
    abi::DT_HASH,
    abi::DT_GNU_HASH,
    abi::DT_SONAME,
    abi::DT_DEBUG,
];

/// A shared library in this process's memory, for as long as the process lives.
pub struct NativeLibrary {
    base: usize,
    span: usize,
    /// Start and length of what is mapped unwritable.
    clean: Vec<(usize, usize)>,
    symbols: Option<Symbols>,
}

/// The library's symbols, and the mapping of the whole file that they are read from.
struct Symbols {
    content: &'static [u8],
    table: SymbolTable<'static, NativeEndian>,
    names: StringTable<'static>,
    hash: SysVHashTable<'static, NativeEndian>,
}

impl NativeLibrary {
    /// Maps the library in `file`. The file must not change from now on: it is sealed, and of the cache.
    ///
    /// # Errors
    /// Names what it has that compiled modules have not.
    pub fn map(file: BorrowedFd<'_>) -> Result<Self, String> {
        let content = map_whole(file).map_err(|error| format!("it cannot be mapped: {error}"))?;
        let Examined { loaded, span, imports, symbols: (table, names, hash) } = examine(content)?;
        let base =
            map_segments(&loaded, span, file.as_raw_fd()).map_err(|error| format!("it cannot be mapped: {error}"))?;
        for Import { place, function } in imports {
            // SAFETY: aligned, and within a segment that was just mapped writable.
            unsafe { std::ptr::write((base + place as usize) as *mut usize, function) };
        }
        let unwritable = loaded.iter().filter(|one| one.p_flags & abi::PF_W == 0);
        let clean = unwritable.map(|one| place(one, base)).collect();
        Ok(Self { base, span: span as usize, clean, symbols: Some(Symbols { content, table, names, hash }) })
    }

    /// The address of the symbol called `name`, if there is one.
    pub fn find(&self, name: &[u8]) -> Option<usize> {
        let Symbols { table, names, hash, .. } = self.symbols.as_ref()?;
        let (_, symbol) = hash.find(name, table, names).ok()??;
        let offset = usize::try_from(symbol.st_value).ok().filter(|offset| *offset < self.span)?;
        Some(self.base + offset)
    }

    /// Forgets the symbols: all that are needed have been found.
    pub fn forget_symbols(&mut self) {
        if let Some(Symbols { content, .. }) = self.symbols.take() {
            // SAFETY: the only references into the mapping went with the symbols.
            unsafe { libc::munmap(content.as_ptr().cast_mut().cast(), content.len()) };
        }
    }

    /// Lets go of the pages that equal the file: those that are needed again come back by a minor fault.
    pub fn release_pages(&self) {
        for (start, length) in &self.clean {
            // SAFETY: nobody can have written there.
            unsafe { libc::madvise(*start as *mut libc::c_void, *length, libc::MADV_DONTNEED) };
        }
    }
}

/// A library that needs no other linker.
pub(super) struct Examined<'a> {
    /// Its segments that are to be loaded, in order.
    pub(super) loaded: Vec<ProgramHeader>,
    /// How many bytes of address space they take.
    pub(super) span: u64,
    /// What it imports.
    pub(super) imports: Vec<Import>,
    /// Where its symbols are found.
    pub(super) symbols: (SymbolTable<'a, NativeEndian>, StringTable<'a>, SysVHashTable<'a, NativeEndian>),
}

/// Looks at all of a library that is used.
pub(super) fn examine(content: &[u8]) -> Result<Examined<'_>, String> {
    let malformed = |error: elf::ParseError| format!("it is no proper ELF file: {error}");
    let library = ElfBytes::<NativeEndian>::minimal_parse(content).map_err(malformed)?;
    if library.ehdr.e_type != abi::ET_DYN || library.ehdr.e_machine != MACHINE {
        return Err("it is no shared library for this processor".to_owned());
    }
    refuse_what_needs_a_linker(&library)?;
    let tables = library.find_common_data().map_err(malformed)?;
    let (Some(table), Some(names), Some(hash)) = (tables.dynsyms, tables.dynsyms_strs, tables.sysv_hash) else {
        return Err("it has no table of symbols".to_owned());
    };
    refuse_unknown_imports(&table, &names)?;
    let segments = library.segments().ok_or("it has no segments")?;
    let loaded: Vec<ProgramHeader> = segments.iter().filter(|segment| segment.p_type == abi::PT_LOAD).collect();
    let span = check_segments(&loaded, content.len() as u64)?;
    let imports = imports(&library, content, &loaded, &table, &names)?;
    Ok(Examined { loaded, span, imports, symbols: (table, names, hash) })
}

/// Where a segment's pages are, and how many bytes.
fn place(segment: &ProgramHeader, base: usize) -> (usize, usize) {
    let page = page_size();
    let start = segment.p_vaddr / page * page;
    let length = (segment.p_vaddr + segment.p_memsz - start).next_multiple_of(page);
    (base + start as usize, length as usize)
}

/// The file's content, until it is unmapped.
fn map_whole(file: BorrowedFd<'_>) -> io::Result<&'static [u8]> {
    let size = nix::sys::stat::fstat(file.as_fd())?.st_size;
    let size = usize::try_from(size).ok().filter(|size| *size > 0).ok_or(io::ErrorKind::InvalidData)?;
    let address = map(std::ptr::null_mut(), size, libc::PROT_READ, libc::MAP_PRIVATE, file.as_raw_fd(), 0)?;
    // SAFETY: the mapping is `size` bytes long, readable and stays.
    Ok(unsafe { std::slice::from_raw_parts(address as *const u8, size) })
}

fn refuse_what_needs_a_linker(library: &ElfBytes<'_, NativeEndian>) -> Result<(), String> {
    let dynamic = library.dynamic().ok().flatten().ok_or("it has no dynamic section")?;
    match dynamic.iter().find(|entry| !HARMLESS.contains(&entry.d_tag) && !TAGS.contains(&entry.d_tag)) {
        Some(entry) => Err(format!("it wants something of a dynamic linker (tag {:#x})", entry.d_tag)),
        None => Ok(()),
    }
}

fn refuse_unknown_imports(symbols: &SymbolTable<'_, NativeEndian>, names: &StringTable<'_>) -> Result<(), String> {
    // The first one is reserved.
    for symbol in symbols.iter().skip(1).filter(|symbol| symbol.is_undefined()) {
        let name = names.get(symbol.st_name as usize).unwrap_or_default();
        if !is_known(name) {
            return Err(format!("it imports {name:?}"));
        }
    }
    Ok(())
}

/// The bytes that the segments span, from address 0 on. Each is in the file, on whole pages of both, in order.
fn check_segments(segments: &[ProgramHeader], file: u64) -> Result<u64, String> {
    let (page, mut end) = (page_size(), 0);
    for one in segments {
        let writable = one.p_flags & abi::PF_W != 0;
        let sound = one.p_offset.checked_add(one.p_filesz).is_some_and(|last| last <= file)
            && one.p_vaddr >= end
            && one.p_vaddr % page == one.p_offset % page
            && one.p_filesz <= one.p_memsz
            && (one.p_filesz == one.p_memsz || writable)
            && !(writable && one.p_flags & abi::PF_X != 0);
        let last = one.p_vaddr.checked_add(one.p_memsz).filter(|last| sound && *last <= MAX_SPAN);
        // What follows begins on a page of its own, since this one has another protection.
        end = last.ok_or("a segment is not as compilers make them")?.next_multiple_of(page);
    }
    if end == 0 { Err("it has nothing to load".to_owned()) } else { Ok(end) }
}

/// Maps the segments in one piece of address space; where that begins.
fn map_segments(segments: &[ProgramHeader], span: u64, file: RawFd) -> io::Result<usize> {
    let (page, private) = (page_size(), libc::MAP_PRIVATE);
    let nothing = private | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    let base = map(std::ptr::null_mut(), span as usize, libc::PROT_NONE, nothing, -1, 0)?;
    for one in segments {
        let protection = protection(one.p_flags);
        let (start, within) = (one.p_vaddr / page * page, one.p_vaddr % page);
        let of_file = if one.p_filesz == 0 { 0 } else { (within + one.p_filesz).next_multiple_of(page) };
        let whole = (within + one.p_memsz).next_multiple_of(page);
        let at = |offset: u64| (base as u64 + start + offset) as *mut libc::c_void;
        if of_file > 0 {
            let offset = one.p_offset - within;
            map(at(0), of_file as usize, protection, private | libc::MAP_FIXED, file, offset)?;
        }
        if one.p_memsz > one.p_filesz && of_file > 0 {
            let rest = (of_file - within - one.p_filesz) as usize;
            // SAFETY: within the pages that were just mapped writable; the ABI wants zeros there.
            unsafe { std::ptr::write_bytes(at(within + one.p_filesz).cast::<u8>(), 0, rest) };
        }
        if whole > of_file {
            let zeros = private | libc::MAP_FIXED | libc::MAP_ANONYMOUS;
            map(at(of_file), (whole - of_file) as usize, protection, zeros, -1, 0)?;
        }
    }
    Ok(base)
}

fn protection(flags: u32) -> libc::c_int {
    [(abi::PF_R, libc::PROT_READ), (abi::PF_W, libc::PROT_WRITE), (abi::PF_X, libc::PROT_EXEC)]
        .into_iter()
        .filter(|(flag, _)| flags & flag != 0)
        .fold(libc::PROT_NONE, |all, (_, protection)| all | protection)
}

/// mmap(2), past the engine's own of that name, which counts linear memory.
fn map(
    address: *mut libc::c_void,
    length: usize,
    protection: libc::c_int,
    flags: libc::c_int,
    file: RawFd,
    offset: u64,
) -> io::Result<usize> {
    // SAFETY: a fixed address is within what was reserved here; other mappings are new.
    let mapped = unsafe { libc::syscall(libc::SYS_mmap, address, length, protection, flags, file, offset) };
    if mapped == -1 { Err(io::Error::last_os_error()) } else { Ok(mapped as usize) }
}

pub fn page_size() -> u64 {
    // SAFETY: asks for a constant.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) }.unsigned_abs()
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    /// A library whose one relocation is the import of `fmax`, and where in the file it has what about that.
    const LIBRARY: &[u8] = include_bytes!("../../../fuzz/corpus/native_libraries/imports");
    const NAME: usize = 0x691;
    const RELOCATION: usize = 0x6b8;
    const TABLE: usize = 0x1868;
    const SIZE: usize = 0x1878;

    /// Why the library is refused with `bytes` at `place`.
    #[track_caller]
    fn refused(place: usize, bytes: &[u8]) -> String {
        let mut library = LIBRARY.to_vec();
        library[place..place + bytes.len()].copy_from_slice(bytes);
        examine(&library).err().expect("it is accepted")
    }

    #[test]
    fn an_import_is_bound_in_data_and_nothing_else_is() {
        let imports = examine(LIBRARY).unwrap_or_else(|error| panic!("{error}")).imports;
        assert_eq!(imports.iter().map(|import| import.place).collect::<Vec<_>>(), [0x4928]);
        assert_eq!(refused(NAME, b"exit"), "it imports \"exit\"");
        // In code, in no segment, not on a boundary.
        for place in [0x2590_u64, u64::MAX - 7, 0x4929] {
            assert_eq!(refused(RELOCATION, &place.to_ne_bytes()), "a relocation is not in its data");
        }
        assert_eq!(refused(RELOCATION + 8, &abi::R_X86_64_RELATIVE.to_ne_bytes()), "it wants a relocation of type 8");
        // A symbol that it defines itself, and one that is not there.
        for symbol in [2_u32, u32::MAX] {
            refused(RELOCATION + 12, &symbol.to_ne_bytes());
        }
        assert_eq!(refused(RELOCATION + 16, &[1]), "it wants a relocation of type 7");
        for size in [23_u64, 1 << 40, u64::MAX] {
            assert_eq!(refused(SIZE, &size.to_ne_bytes()), "its relocations are not in it");
        }
        assert_eq!(refused(TABLE, &u64::MAX.to_ne_bytes()), "its relocations are not in it");
    }
}
