// Style sheets are bundled as text (`with { type: "text" }`): they go into a shadow root, not into the host's page.
declare module "*.css" {
  const text: string;
  export default text;
}
