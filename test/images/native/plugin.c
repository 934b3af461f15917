// A plugin for WasmEdge: the module `wasmedge_test` with the functions `add`, `setting`, the number in the variable
// E2E_PLUGIN_SETTING when the module was made, `setting_now`, the same at the call, and `threads`, how many of two
// threads did their work.
#include <pthread.h>
#include <stdlib.h>
#include <wasmedge/wasmedge.h>

static int made_with;

static int setting(void) {
    const char *text = getenv("E2E_PLUGIN_SETTING");
    return text ? atoi(text) : -1;
}

static WasmEdge_Result add(void *data, const WasmEdge_CallingFrameContext *frame, const WasmEdge_Value *in,
                           WasmEdge_Value *out) {
    (void)data, (void)frame;
    out[0] = WasmEdge_ValueGenI32(WasmEdge_ValueGetI32(in[0]) + WasmEdge_ValueGetI32(in[1]));
    return WasmEdge_Result_Success;
}

static WasmEdge_Result told(void *data, const WasmEdge_CallingFrameContext *frame, const WasmEdge_Value *in,
                            WasmEdge_Value *out) {
    (void)frame, (void)in;
    out[0] = WasmEdge_ValueGenI32(data ? made_with : setting());
    return WasmEdge_Result_Success;
}

static void *work(void *done) {
    *(int *)done = 1;
    return 0;
}

static WasmEdge_Result threads(void *data, const WasmEdge_CallingFrameContext *frame, const WasmEdge_Value *in,
                               WasmEdge_Value *out) {
    (void)data, (void)frame, (void)in;
    int done[2] = {0, 0};
    for (int i = 0; i < 2; i++) {
        pthread_t thread;
        if (pthread_create(&thread, 0, work, &done[i]) == 0) pthread_join(thread, 0);
    }
    out[0] = WasmEdge_ValueGenI32(done[0] + done[1]);
    return WasmEdge_Result_Success;
}

static void function(WasmEdge_ModuleInstanceContext *module, const char *name, WasmEdge_HostFunc_t host, void *data,
                     uint32_t parameters) {
    const WasmEdge_ValType numbers[] = {WasmEdge_ValTypeGenI32(), WasmEdge_ValTypeGenI32()};
    WasmEdge_FunctionTypeContext *type = WasmEdge_FunctionTypeCreate(numbers, parameters, numbers, 1);
    WasmEdge_ModuleInstanceAddFunction(module, WasmEdge_StringWrap(name, __builtin_strlen(name)),
                                       WasmEdge_FunctionInstanceCreate(type, host, data, 0));
    WasmEdge_FunctionTypeDelete(type);
}

static WasmEdge_ModuleInstanceContext *create(const struct WasmEdge_ModuleDescriptor *descriptor) {
    WasmEdge_ModuleInstanceContext *module =
        WasmEdge_ModuleInstanceCreate(WasmEdge_StringWrap(descriptor->Name, __builtin_strlen(descriptor->Name)));
    made_with = setting();
    function(module, "add", add, 0, 2);
    function(module, "setting", told, &made_with, 0);
    function(module, "setting_now", told, 0, 0);
    function(module, "threads", threads, 0, 0);
    return module;
}

static WasmEdge_ModuleDescriptor modules[] = {{"wasmedge_test", "Functions for a test.", create}};

static WasmEdge_PluginDescriptor plugin = {
    .Name = "wasmedge_test",
    .Description = "A plugin for a test.",
    .APIVersion = WasmEdge_Plugin_CurrentAPIVersion,
    .Version = {0, 1, 0, 0},
    .ModuleCount = 1,
    .ModuleDescriptions = modules,
};

WASMEDGE_CAPI_PLUGIN_EXPORT const WasmEdge_PluginDescriptor *WasmEdge_Plugin_GetDescriptor(void) { return &plugin; }
