//! What native code imports: functions of the C library that LLVM calls for an operation for which the processor has no
//! instruction, or which it recognizes in a module's code (`fmax`). They work on their arguments and on nothing else.
//!
//! ELF relocations: System V ABI, AMD64 supplement, 4.4.1; ELF for the Arm 64-bit Architecture, 5.7.

use elf::{
    ElfBytes, abi,
    endian::NativeEndian,
    file::Class,
    relocation::{Rela, RelaIterator},
    segment::ProgramHeader,
    string_table::StringTable,
    symbol::SymbolTable,
};

#[cfg(target_arch = "x86_64")]
const ADDRESS_OF_SYMBOL: [u32; 2] = [abi::R_X86_64_JUMP_SLOT, abi::R_X86_64_GLOB_DAT];
#[cfg(target_arch = "aarch64")]
const ADDRESS_OF_SYMBOL: [u32; 2] = [abi::R_AARCH64_JUMP_SLOT, abi::R_AARCH64_GLOB_DAT];

/// Entries of the dynamic section that tell of imports.
pub const TAGS: [i64; 7] =
    [abi::DT_JMPREL, abi::DT_PLTRELSZ, abi::DT_PLTREL, abi::DT_PLTGOT, abi::DT_RELA, abi::DT_RELASZ, abi::DT_RELAENT];

/// Bytes of an address, and of an entry of a table of relocations.
const ADDRESS: u64 = 8;
const ENTRY: u64 = 24;

/// A function of this process whose address the library wants to have.
#[derive(Debug, Clone, Copy)]
pub struct Import {
    /// Where it wants it: the address that the library's own headers give to that place.
    pub place: u64,
    /// The function.
    pub function: usize,
}

/// All that the library imports.
///
/// # Errors
/// Names what is no function of the list, or no plain import.
pub fn imports(
    library: &ElfBytes<'_, NativeEndian>,
    content: &[u8],
    segments: &[ProgramHeader],
    symbols: &SymbolTable<'_, NativeEndian>,
    names: &StringTable<'_>,
) -> Result<Vec<Import>, String> {
    let dynamic = library.dynamic().ok().flatten().ok_or("it has no dynamic section")?;
    let value = |tag| dynamic.iter().find(|entry| entry.d_tag == tag).map(|entry| entry.d_val());
    let of_a_kind = |tag, kind: i64| value(tag).is_none_or(|found| i64::try_from(found) == Ok(kind));
    if !of_a_kind(abi::DT_PLTREL, abi::DT_RELA) || !of_a_kind(abi::DT_RELAENT, ENTRY.cast_signed()) {
        return Err("its relocations are of another kind".to_owned());
    }
    let mut all = Vec::new();
    for (table, size) in [(abi::DT_JMPREL, abi::DT_PLTRELSZ), (abi::DT_RELA, abi::DT_RELASZ)] {
        let Some(place) = value(table) else { continue };
        let bytes = value(size).and_then(|size| loaded(content, segments, place, size));
        let bytes =
            bytes.filter(|bytes| (bytes.len() as u64).is_multiple_of(ENTRY)).ok_or("its relocations are not in it")?;
        for one in RelaIterator::new(NativeEndian, Class::ELF64, bytes) {
            all.push(import(&one, segments, symbols, names)?);
        }
    }
    Ok(all)
}

fn import(
    one: &Rela,
    segments: &[ProgramHeader],
    symbols: &SymbolTable<'_, NativeEndian>,
    names: &StringTable<'_>,
) -> Result<Import, String> {
    if !ADDRESS_OF_SYMBOL.contains(&one.r_type) || one.r_addend != 0 {
        return Err(format!("it wants a relocation of type {}", one.r_type));
    }
    let symbol = symbols.get(one.r_sym as usize).map_err(|error| format!("it is no proper ELF file: {error}"))?;
    let name = names.get(symbol.st_name as usize).map_err(|error| format!("it is no proper ELF file: {error}"))?;
    let function = symbol.is_undefined().then(|| function(name)).flatten();
    let function = function.ok_or_else(|| format!("it imports {name:?}"))?;
    let within = |segment: &&ProgramHeader| {
        let offset = one.r_offset.checked_sub(segment.p_vaddr);
        segment.p_flags & abi::PF_W != 0
            && offset.and_then(|offset| offset.checked_add(ADDRESS)).is_some_and(|end| end <= segment.p_memsz)
    };
    if !one.r_offset.is_multiple_of(ADDRESS) || !segments.iter().any(|segment| within(&segment)) {
        return Err("a relocation is not in its data".to_owned());
    }
    Ok(Import { place: one.r_offset, function })
}

/// The bytes of the file that are loaded to `place`.
fn loaded<'a>(content: &'a [u8], segments: &[ProgramHeader], place: u64, size: u64) -> Option<&'a [u8]> {
    let end = place.checked_add(size)?;
    let segment = segments.iter().find(|one| one.p_vaddr <= place && end - one.p_vaddr <= one.p_filesz)?;
    let start = segment.p_offset.checked_add(place - segment.p_vaddr)?;
    content.get(usize::try_from(start).ok()?..usize::try_from(start.checked_add(size)?).ok()?)
}

/// Whether there is a function of this name.
pub fn is_known(name: &str) -> bool {
    function(name).is_some()
}

macro_rules! functions {
    ($($name:ident)*) => {
        mod of_libc {
            unsafe extern "C" { $(pub fn $name();)* }
        }

        /// The address of a function that native code may import.
        fn function(name: &str) -> Option<usize> {
            match name {
                $(stringify!($name) => Some(of_libc::$name as *const () as usize),)*
                _ => None,
            }
        }

        #[cfg(test)]
        const NAMES: &[&str] = &[$(stringify!($name)),*];
    };
}

// LLVM's `RuntimeLibcalls`, as far as WebAssembly has the operation: integers and floats of 32 and 64 bits.
functions! {
    memcpy memmove memset memcmp bcmp
    fmin fminf fmax fmaxf ceil ceilf floor floorf trunc truncf rint rintf nearbyint nearbyintf roundeven roundevenf
    round roundf sqrt sqrtf fma fmaf copysign copysignf fabs fabsf fmod fmodf
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_imported_is_the_c_library_s_own() {
        for name in NAMES {
            assert_ne!(function(name), Some(0), "{name}");
        }
        // SAFETY: its type is that of the C standard.
        let fmax = unsafe { std::mem::transmute::<usize, extern "C" fn(f64, f64) -> f64>(function("fmax").unwrap()) };
        assert_eq!(fmax(1.5, 2.5), 2.5);
        assert!(["system", "dlopen", "", "fmax2"].iter().all(|name| !is_known(name)));
    }
}
