;; What `helm test` runs: a line on stdout.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 1)
  ;; One buffer: its address and its length.
  (data (i32.const 0) "\10\00\00\00\1f\00\00\00")
  (data (i32.const 16) "a WebAssembly module runs here\n")
  (func (export "_start")
    (call $proc_exit (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))
