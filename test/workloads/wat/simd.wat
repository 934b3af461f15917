;; Computes with vectors (the proposal simd): ends with 4 + 4.
(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (call $exit (i32x4.extract_lane 0 (i32x4.add (i32x4.splat (i32.const 4)) (i32x4.splat (i32.const 4)))))))
