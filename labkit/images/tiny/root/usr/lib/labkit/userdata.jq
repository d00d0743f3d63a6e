# $user: text of user-data, $meta: text of meta-data. Result: lines of shell, the first "instance ID".

def complain($text): "complain \($text | @sh)";
def strange($where; $allowed):
  keys_unsorted[] | select(. as $key | $allowed | index($key) | not)
  | complain("key \"\($where)\(.)\" is not supported by tiny");
def words: map(@sh) | join(" ");
def strings: if type == "array" then . elif . == null or . == false then [] else [.] end | map(tostring);
def names: if type == "string" then [splits("[, ]+")] else strings end | map(select(. != ""));

def metadata:
  ($meta | try fromjson catch null) as $json
  | if ($json | type) == "object" then $json
    else reduce ($meta | split("\n")[] | capture("^(?<key>[A-Za-z][A-Za-z0-9_-]*):[ \t]*(?<value>.*?)[ \t\r]*$")) as $line
      ({}; .[$line.key] = ($line.value | sub("^\"(?<text>.*)\"$"; .text) | sub("^'(?<text>.*)'$"; .text)))
    end;

def user($i):
  "users[\($i)]" as $here
  | if type != "object" or (.name | type) != "string" then complain("\($here) must be an object with a name")
    else
      strange($here + "."; ["name", "plain_text_passwd", "lock_passwd", "ssh_authorized_keys", "shell", "sudo", "groups", "gecos"]),
      # As in cloud-init: a password is locked unless lock_passwd is false.
      "add_user \([.name, .shell // "/bin/sh", .gecos // "", .plain_text_passwd // "", .lock_passwd != false] | words) \(.groups | names | words)",
      (.name as $name | .sudo | strings[] | "allow_sudo \([$name, .] | words)"),
      (.name as $name | .ssh_authorized_keys | strings | select(. != []) | "add_keys \([$name] + . | words)")
    end;

def file($i):
  "write_files[\($i)]" as $here
  | ["path", "content", "permissions", "owner", "encoding"] as $allowed
  | if type != "object" or (.path | type) != "string" then complain("\($here) must be an object with a path")
    elif keys - $allowed != [] then strange($here + "."; $allowed), complain("file \(.path) is left out")
    elif .encoding | IN(null, "text/plain", "b64", "base64") | not then
      complain("\($here).encoding \"\(.encoding)\" is not supported by tiny"), complain("file \(.path) is left out")
    else
      (.content // "" | tostring) as $content
      | "put_file \([.path, .permissions // "0644", .owner // "root:root",
          # Text as it is: a program less for each file. A shell's word cannot hold NUL.
          if .encoding | IN("b64", "base64") then "", ($content | gsub("\\s"; ""))
          elif $content | contains("\u0000") then "", ($content | @base64) else $content end] | words)"
    end;

def command: if type == "array" then map(tostring) | words else tostring end;

def list($key): .[$key] // [] | if type == "array" then to_entries[] else error("\($key) must be a list") end;

def config:
  strange(""; ["hostname", "users", "ssh_authorized_keys", "write_files", "runcmd"]),
  (list("users") | .key as $i | .value | user($i)),
  (.ssh_authorized_keys | strings | select(. != []) | "add_keys root \(words)"),
  (list("write_files") | .key as $i | .value | file($i)),
  ([list("runcmd") | .value | command] | select(. != []) | "put_runcmd \(join("\n") | @sh)");

def body:
  if $user | test("^\\s*$") then {}
  elif $user | test("^#cloud-config\\s*(\n|$)") | not then error("it must start with #cloud-config, it starts with \($user[:20] | tojson)")
  else $user | sub("^[^\n]*\n?"; "") | if test("^\\s*$") then {} else try fromjson catch error("what follows #cloud-config is not JSON: \(split(" (while")[0])") end
  end
  | if type == "object" then . else error("what follows #cloud-config must be a JSON object") end;

metadata as $known
| "instance \($known["instance-id"] // "nocloud" | tostring | gsub("[^A-Za-z0-9._-]"; "_"))",
  (try (body as $body
    | ($body.hostname // $known["local-hostname"] // empty | "set_hostname \(tostring | @sh)"),
      ($body | config))
   catch complain("cannot be applied: \(.)"))
