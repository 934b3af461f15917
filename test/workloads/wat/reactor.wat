;; A reactor: `_initialize` must have been called once before anything else. `initialized` tells how often it was, `add`
;; and `mean` take numbers, `nothing` has no result, `identity` has a parameter that no word can say.
(module
  (memory (export "memory") 1)
  (global $initialized (mut i32) (i32.const 0))
  (func (export "_initialize") (global.set $initialized (i32.add (global.get $initialized) (i32.const 1))))
  (func (export "initialized") (result i32) (global.get $initialized))
  (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
  (func (export "mean") (param i64 f32 f64) (result f64 i64)
    (f64.div
      (f64.add (f64.convert_i64_s (local.get 0)) (f64.add (f64.promote_f32 (local.get 1)) (local.get 2)))
      (f64.const 3))
    (local.get 0))
  (func (export "nothing"))
  (func (export "identity") (param externref) (result externref) (local.get 0))
  (func (export "trap") unreachable))
