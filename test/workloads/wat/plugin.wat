;; Ends with what functions of a plugin come to: 100 * (setting = setting_now) + setting + threads.
(module
  (import "wasmedge_test" "add" (func $add (param i32 i32) (result i32)))
  (import "wasmedge_test" "setting" (func $setting (result i32)))
  (import "wasmedge_test" "setting_now" (func $setting_now (result i32)))
  (import "wasmedge_test" "threads" (func $threads (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (call $exit
      (i32.add
        (i32.mul (i32.const 100) (i32.eq (call $setting) (call $setting_now)))
        (call $add (call $setting) (call $threads))))))
