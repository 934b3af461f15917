;; Imports a function of WASI with a parameter too many.
(module
  (import "wasi_snapshot_preview1" "fd_close" (func $close (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start") (drop (call $close (i32.const 0) (i32.const 0)))))
