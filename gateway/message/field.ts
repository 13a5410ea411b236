/** Header fields as both engines share them: one object per table entry, so that what is derived from it is derived once. */

/** The name of fields. Well-known names are one object for the life of the process; others one per table entry. */
export class FieldName {
  /** Lower case. One character per byte. */
  readonly text: string;
  /** What `headers/traits` derived from the text; -1 until it did. */
  traits = -1;
  /** Whether the engine's rules for names hold: 0 not judged yet, 1 valid, 2 malformed. */
  validity = 0;
  /** What `http2/hpack/indexing` derived: how values are sent; 0 until it did, and the next two members mean nothing. */
  indexing = 0;
  /** Index of the name in HPACK's static table, 0 if it is not there. */
  staticIndex = 0;
  /** Of the text; positive, 30 bits. */
  hash = 0;

  constructor(text: string) {
    this.text = text;
  }
}

/**
 * One field. What an HPACK table holds is handed out as the same object each time; whoever derives something from a
 * field that is worth keeping keeps it here, in a member of its own.
 */
export class Field {
  readonly name: FieldName;
  /** One character per byte (latin1), without leading or trailing white space. */
  readonly value: string;
  /** Came never-indexed and must stay so (RFC 7541 §7.1), or is secret by its name. */
  readonly sensitive: boolean;
  /** Whether the engine's rules for values hold: 0 not judged yet, 1 valid, 2 malformed. */
  validity = 0;
  /** Of name and value, from `http2/hpack/indexing`; positive, 30 bits. 0 until derived, and `staticIndex` means nothing. */
  hash = 0;
  /** Index of this very field in HPACK's static table, 0 if it is not there. */
  staticIndex = 0;
  /** What was judged by this field, and about what: whoever reads it checks that it is still asked the same. */
  judged: object | undefined = undefined;

  constructor(name: FieldName, value: string, sensitive = false) {
    this.name = name;
    this.value = value;
    this.sensitive = sensitive;
  }
}
