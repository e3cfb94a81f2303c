/** A person, as the first letters of their name. */
export function Avatar({ name }: { name: string }) {
  const initials = name
    .split(/\s+/)
    .filter(Boolean)
    .slice(0, 2)
    .map((w) => [...w][0]!.toUpperCase())
    .join("");
  return (
    <span class="avatar" aria-hidden="true">
      {initials || "?"}
    </span>
  );
}
