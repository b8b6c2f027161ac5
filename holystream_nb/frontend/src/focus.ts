/** What has the keyboard's focus where a node stands: in a shadow root, `document.activeElement` is its host. */
export function focused(node: Node): Element | null {
  return (node.getRootNode() as Partial<DocumentOrShadowRoot>).activeElement ?? null;
}
