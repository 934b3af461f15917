;; Waits until the file "f" in the first directory can be read, which it always can. Ends with 0, or with an error.
(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 64) "f")
  (func (export "_start") (local $errno i32)
    (local.set $errno
      (call $open (i32.const 3) (i32.const 1) (i32.const 64) (i32.const 1) (i32.const 0)
        (i64.const 0x8000002) (i64.const 0) (i32.const 0) (i32.const 128)))
    (if (local.get $errno) (then (call $exit (local.get $errno))))
    ;; A subscription to read from it.
    (i32.store8 (i32.const 264) (i32.const 1))
    (i32.store (i32.const 272) (i32.load (i32.const 128)))
    (local.set $errno (call $poll (i32.const 256) (i32.const 512) (i32.const 1) (i32.const 132)))
    (if (local.get $errno) (then (call $exit (local.get $errno))))
    ;; The error of the event.
    (call $exit (i32.load16_u (i32.const 520)))))
