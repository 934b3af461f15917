//! WasmEdge's plugins: libraries that this process has loaded, and the modules that they bring for guests to import from.

use std::ffi::CStr;

use wasmedge_sys::ffi;

use super::{
    diagnostics,
    names::{CStrings, text, view},
};

/// Loads the plugin in the file `path`, with all the rights of this process.
///
/// # Errors
/// The engine's words, where it has some.
pub fn load(path: &CStr) -> Result<(), String> {
    diagnostics::install();
    diagnostics::clear();
    // SAFETY: the path is read during the call; the library's code is as trusted as this program.
    let loaded = unsafe {
        let before = ffi::WasmEdge_PluginListPluginsLength();
        ffi::WasmEdge_PluginLoadFromPath(path.as_ptr());
        ffi::WasmEdge_PluginListPluginsLength() > before
    };
    if loaded {
        return Ok(());
    }
    Err(diagnostics::said().unwrap_or_else(|| "it is no plugin of this version of WasmEdge".to_owned()))
}

/// Gives WASI-NN, where its plugin is loaded, models for guests to call by name: `NAME:BACKEND:DEVICE:PATH`, as the
/// `wasmedge` command's `--nn-preload`. To be called before its module is made.
pub fn preload_models(models: &[String]) {
    let models = CStrings::new(models);
    // SAFETY: the strings are copied during the call.
    unsafe { ffi::WasmEdge_PluginInitWASINN(models.as_ptr(), models.len()) };
}

/// A module of a plugin.
pub struct PluginModule {
    name: String,
    instance: *mut ffi::WasmEdge_ModuleInstanceContext,
}

impl PluginModule {
    /// New instances of the modules of all plugins that are loaded.
    ///
    /// # Errors
    /// Names a module that its plugin does not make.
    pub fn all() -> Result<Vec<Self>, String> {
        let plugins = names(|names, length| {
            // SAFETY: the list is filled up to its length.
            unsafe { ffi::WasmEdge_PluginListPlugins(names, length) }
        });
        let mut modules = Vec::new();
        for plugin in plugins {
            // SAFETY: plugins live as long as the process, and their names with them.
            let context = unsafe { ffi::WasmEdge_PluginFind(plugin) };
            // SAFETY: the list is filled up to its length.
            for name in names(|names, length| unsafe { ffi::WasmEdge_PluginListModule(context, names, length) }) {
                // SAFETY: as above; the instance is kept until the process ends.
                let (instance, name) = unsafe { (ffi::WasmEdge_PluginCreateModule(context, name), text(name)) };
                if instance.is_null() {
                    return Err(format!("a plugin does not make its module \"{name}\""));
                }
                modules.push(Self { name: name.into_owned(), instance });
            }
        }
        Ok(modules)
    }

    /// Whether it has something called `name` that can be imported from `module`.
    pub fn has(&self, module: &str, name: &str) -> bool {
        let name = view(name);
        // SAFETY: the instance is alive; names are looked up during the calls.
        module == self.name
            && unsafe {
                !ffi::WasmEdge_ModuleInstanceFindFunction(self.instance, name).is_null()
                    || !ffi::WasmEdge_ModuleInstanceFindMemory(self.instance, name).is_null()
                    || !ffi::WasmEdge_ModuleInstanceFindTable(self.instance, name).is_null()
                    || !ffi::WasmEdge_ModuleInstanceFindGlobal(self.instance, name).is_null()
            }
    }

    /// The instance, which is never deleted.
    pub fn as_ptr(&self) -> *mut ffi::WasmEdge_ModuleInstanceContext {
        self.instance
    }
}

/// A list of names, which `list` fills up to the length that it is given; it returns how long the list is.
fn names(list: impl Fn(*mut ffi::WasmEdge_String, u32) -> u32) -> Vec<ffi::WasmEdge_String> {
    let length = list(std::ptr::null_mut(), 0);
    let mut names = Vec::with_capacity(length as usize);
    let filled = list(names.as_mut_ptr(), length).min(length);
    // SAFETY: filled just now.
    unsafe { names.set_len(filled as usize) };
    names
}
