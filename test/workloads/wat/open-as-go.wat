;; Opens "f" in the first directory as Go programs open a file to read it: with all rights but those to write, to allocate
;; and to truncate by path, so with the right to set its size. Ends with the error.
(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 64) "f")
  (func (export "_start")
    (call $exit
      (call $open (i32.const 3) (i32.const 1) (i32.const 64) (i32.const 1) (i32.const 0)
        (i64.const 0x3ff7febf) (i64.const 0x3ff7febf) (i32.const 0) (i32.const 128)))))
