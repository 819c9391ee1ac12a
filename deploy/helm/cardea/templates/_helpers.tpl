{{/* The name of everything in a release. */}}
{{- define "cardea.name" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{- define "cardea.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "cardea.labels" -}}
{{ include "cardea.selector" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{/* The labels of what the Prometheus operator and Grafana look for. */}}
{{- define "cardea.metricsLabels" -}}
{{ include "cardea.labels" . }}
{{- with .Values.metrics.labels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "cardea.account" -}}
{{- default (ternary (include "cardea.name" .) "default" .Values.serviceAccount.create) .Values.serviceAccount.name -}}
{{- end }}

{{- define "cardea.tokenSecret" -}}
{{- default (printf "%s-console" (include "cardea.name" .)) .Values.consoleToken.existingSecret -}}
{{- end }}

{{- define "cardea.image" -}}
{{ printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) }}
{{- end }}

{{/* What both containers of a pod must know of the node. */}}
{{- define "cardea.env" -}}
- name: POD_IP
  valueFrom: {fieldRef: {fieldPath: status.podIP}}
- name: CARDEA_NODE_NAME
  valueFrom: {fieldRef: {fieldPath: {{ ternary "spec.nodeName" "metadata.name" (eq .Values.kind "DaemonSet") }}}}
- name: CARDEA_CONSOLE_TOKEN_FILE
  value: /run/secrets/cardea/token
{{- with .Values.region }}
- name: CARDEA_NODE_REGION
  value: {{ . | quote }}
{{- end }}
{{- if .Values.podAddress }}
- name: CARDEA_MEDIA_ADDRESSES
  value: $(POD_IP)
- name: CARDEA_MESH_ADVERTISE
  value: $(POD_IP)
{{- end }}
- name: CARDEA_MESH_DNS
  value: {{ include "cardea.name" . }}-peers
- name: CARDEA_NODE_DRAIN_TIMEOUT
  value: {{ .Values.drain.seconds }}s
- name: CARDEA_NODE_STOP_TIMEOUT
  value: {{ .Values.drain.stopSeconds }}s
{{- if .Values.tls.secretName }}
- name: CARDEA_TLS_CERTIFICATE
  value: /etc/cardea/tls/tls.crt
- name: CARDEA_TLS_KEY
  value: /etc/cardea/tls/tls.key
{{- end }}
{{- with .Values.env }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "cardea.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "cardea.mounts" -}}
- {name: config, mountPath: /etc/cardea/cardea.yaml, subPath: cardea.yaml, readOnly: true}
- {name: console-token, mountPath: /run/secrets/cardea, readOnly: true}
- {name: data, mountPath: /var/lib/cardea}
- {name: invitation, mountPath: /run/invitation}
{{- if .Values.tls.secretName }}
- {name: tls, mountPath: /etc/cardea/tls, readOnly: true}
{{- end }}
{{- end }}
