//! The function that a run begins with: its parameters, which are among the program's arguments, and its results.
//!
//! The rules are those of the `wasmedge` command: a command module has `_start`; of a reactor a function is named,
//! `_initialize` comes before it, its results are printed, one a line.

use wasmedge_sys::ffi;

use super::names::text;

/// The entry function of a command (WASI application ABI).
pub const START: &str = "_start";
/// What a reactor wants called before anything else (WASI application ABI).
pub const INITIALIZE: &str = "_initialize";

/// What to call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invocation {
    /// Name of the exported function.
    pub function: String,
    /// Its arguments, as words; what it has no parameter for is left to the guest's own reading.
    pub args: Vec<String>,
}

impl Default for Invocation {
    /// A command's.
    fn default() -> Self {
        Self { function: START.to_owned(), args: Vec::new() }
    }
}

/// The arguments for `parameters` among the words `args`.
///
/// # Errors
/// Names the parameter, what it takes and what it was given.
pub fn arguments(
    function: &str,
    parameters: &[ffi::WasmEdge_ValType],
    args: &[String],
) -> Result<Vec<ffi::WasmEdge_Value>, String> {
    if function == START && !parameters.is_empty() {
        let count = parameters.len();
        return Err(format!("its function \"{START}\" takes {count} parameter(s), that of a command takes none"));
    }
    if args.len() < parameters.len() {
        let (takes, given) = (parameters.len(), args.len());
        return Err(format!("its function \"{function}\" takes {takes} argument(s), {given} are given"));
    }
    let pairs = parameters.iter().zip(args).enumerate();
    pairs
        .map(|(index, (parameter, word))| {
            let failed = |expected: &str| {
                format!("its function \"{function}\" takes {expected} as argument {}, not {word:?}", index + 1)
            };
            argument(*parameter, word).map_err(failed)
        })
        .collect()
}

/// `word` as a value of `kind`, or what is expected. Integers may be signed or not.
fn argument(kind: ffi::WasmEdge_ValType, word: &str) -> Result<ffi::WasmEdge_Value, &'static str> {
    // SAFETY: these calls look at and make plain values.
    unsafe {
        if ffi::WasmEdge_ValTypeIsI32(kind) {
            let value = word.parse::<i32>().ok().or(word.parse::<u32>().ok().map(u32::cast_signed));
            value.map(|value| ffi::WasmEdge_ValueGenI32(value)).ok_or("an i32")
        } else if ffi::WasmEdge_ValTypeIsI64(kind) {
            let value = word.parse::<i64>().ok().or(word.parse::<u64>().ok().map(u64::cast_signed));
            value.map(|value| ffi::WasmEdge_ValueGenI64(value)).ok_or("an i64")
        } else if ffi::WasmEdge_ValTypeIsF32(kind) {
            word.parse().map(|value| ffi::WasmEdge_ValueGenF32(value)).map_err(|_| "an f32")
        } else if ffi::WasmEdge_ValTypeIsF64(kind) {
            word.parse().map(|value| ffi::WasmEdge_ValueGenF64(value)).map_err(|_| "an f64")
        } else {
            Err("what no word can say (only i32, i64, f32 and f64 can be given)")
        }
    }
}

/// A result, as the `wasmedge` command prints it.
pub fn result(value: ffi::WasmEdge_Value) -> String {
    let kind = value.Type;
    // SAFETY: these calls look at plain values.
    unsafe {
        if ffi::WasmEdge_ValTypeIsI32(kind) {
            ffi::WasmEdge_ValueGetI32(value).to_string()
        } else if ffi::WasmEdge_ValTypeIsI64(kind) {
            ffi::WasmEdge_ValueGetI64(value).to_string()
        } else if ffi::WasmEdge_ValTypeIsF32(kind) {
            ffi::WasmEdge_ValueGetF32(value).to_string()
        } else if ffi::WasmEdge_ValTypeIsF64(kind) {
            ffi::WasmEdge_ValueGetF64(value).to_string()
        } else if ffi::WasmEdge_ValTypeIsV128(kind) {
            ffi::WasmEdge_ValueGetV128(value).to_string()
        } else {
            "<reference>".to_owned()
        }
    }
}

/// The functions that a module exports.
pub struct Exports {
    module: *const ffi::WasmEdge_ASTModuleContext,
    exports: Vec<*const ffi::WasmEdge_ExportTypeContext>,
}

impl Exports {
    /// Of `module`.
    ///
    /// # Safety
    /// It must live as long as the result.
    pub unsafe fn of(module: *const ffi::WasmEdge_ASTModuleContext) -> Self {
        // SAFETY: the list is filled up to the length given; its entries belong to the module.
        let exports = unsafe {
            let mut exports = vec![std::ptr::null(); ffi::WasmEdge_ASTModuleListExportsLength(module) as usize];
            ffi::WasmEdge_ASTModuleListExports(module, exports.as_mut_ptr(), exports.len() as u32);
            exports
        };
        Self { module, exports }
    }

    fn find(&self, name: &str) -> Option<*const ffi::WasmEdge_ExportTypeContext> {
        // SAFETY: the module is alive.
        self.exports
            .iter()
            .copied()
            .find(|export| unsafe { text(ffi::WasmEdge_ExportTypeGetExternalName(*export)) } == name)
    }

    /// Whether there is an export of this name.
    pub fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// The types of the parameters of the function `name`.
    ///
    /// # Errors
    /// There is none, or it is no function.
    pub fn parameters(&self, name: &str) -> Result<Vec<ffi::WasmEdge_ValType>, String> {
        let Some(export) = self.find(name) else {
            return Err(match name == START && self.has(INITIALIZE) {
                true => format!(
                    "it is a reactor (it exports \"{INITIALIZE}\" and no \"{START}\"); name the function to call: MODULE#FUNCTION"
                ),
                false => format!("it exports no function \"{name}\""),
            });
        };
        // SAFETY: the module is alive; the list is filled up to the length given.
        unsafe {
            if ffi::WasmEdge_ExportTypeGetExternalType(export) != ffi::WasmEdge_ExternalType_Function {
                return Err(format!("its export \"{name}\" is no function"));
            }
            let signature = ffi::WasmEdge_ExportTypeGetFunctionType(self.module, export);
            let count = ffi::WasmEdge_FunctionTypeGetParametersLength(signature);
            let mut parameters = Vec::with_capacity(count as usize);
            let count = ffi::WasmEdge_FunctionTypeGetParameters(signature, parameters.as_mut_ptr(), count);
            parameters.set_len(count as usize);
            Ok(parameters)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(kind: ffi::WasmEdge_ValType, word: &str) -> Result<String, String> {
        arguments("f", &[kind], &[word.to_owned()]).map(|values| result(values[0]))
    }

    #[test]
    fn words_become_values_of_the_parameters_types() {
        // SAFETY: make plain values.
        let (i32, i64, f32, f64) = unsafe {
            (
                ffi::WasmEdge_ValTypeGenI32(),
                ffi::WasmEdge_ValTypeGenI64(),
                ffi::WasmEdge_ValTypeGenF32(),
                ffi::WasmEdge_ValTypeGenF64(),
            )
        };
        assert_eq!(parsed(i32, "-7").unwrap(), "-7");
        assert_eq!(parsed(i32, "4294967295").unwrap(), "-1");
        assert_eq!(parsed(i64, "9223372036854775807").unwrap(), "9223372036854775807");
        assert_eq!(parsed(f32, "1.5").unwrap(), "1.5");
        assert_eq!(parsed(f64, "-0.1").unwrap(), "-0.1");
        assert_eq!(parsed(i32, "x").unwrap_err(), "its function \"f\" takes an i32 as argument 1, not \"x\"");
        assert_eq!(
            parsed(i32, "4294967296").unwrap_err(),
            "its function \"f\" takes an i32 as argument 1, not \"4294967296\""
        );
        assert_eq!(
            arguments("f", &[i32, i64], &["1".to_owned()]).unwrap_err(),
            "its function \"f\" takes 2 argument(s), 1 are given"
        );
        assert_eq!(arguments("f", &[], &["1".to_owned()]).unwrap().len(), 0);
    }
}
