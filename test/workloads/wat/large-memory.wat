;; Declares 2 GiB of memory from the start and touches the last page, then says `large`.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 32768)
  (data (i32.const 0) "\08\00\00\00\06\00\00\00large\n")
  (func (export "_start")
    (i32.store (i32.const 0x7fff0000) (i32.const 1))
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 64)))))
