// Rows in an order. Pure.

/** The rows by `value(row)`: numbers by size, text by letters; what has no value is last either way, equals stay as they are. */
export function sorted(rows, value, downwards = false) {
  const known = (row) => value(row) !== null && value(row) !== undefined && value(row) !== "" && !Number.isNaN(value(row));
  const compare = (a, b) => (typeof a === "string" ? a.localeCompare(b, "en", { numeric: true }) : a - b);
  const some = rows.filter(known).sort((a, b) => compare(value(a), value(b)) * (downwards ? -1 : 1));
  return [...some, ...rows.filter((row) => !known(row))];
}
