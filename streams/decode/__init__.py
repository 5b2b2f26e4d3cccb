"""From the bytes of payment records to event columns.

`payments.decode` is the way in. `fast` reads nearly everything, compiled; what is unusual goes
to `slow`, which reads strictly and says what is wrong. `json_text` is what both know of JSON.
"""
