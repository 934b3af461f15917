{{- define "shim.name" -}}
{{- default .Release.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "shim.label" -}}
containerd-shim-wasmedge/ready
{{- end -}}

{{- define "shim.labels" -}}
app.kubernetes.io/name: containerd-shim-wasmedge
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{/* What selects pods: (list . COMPONENT). */}}
{{- define "shim.selector" -}}
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{- define "shim.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ default $.Chart.AppVersion .tag }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The name of the distribution as the installer knows it; nothing for auto. */}}
{{- define "shim.runtime" -}}
{{- if eq .Values.distribution "k8s" -}}
containerd
{{- else if ne .Values.distribution "auto" -}}
{{ .Values.distribution }}
{{- end -}}
{{- end -}}

{{/* Whether a RuntimeClass is made: (list . CLASS). */}}
{{- define "shim.makesClass" -}}
{{- $root := index . 0 -}}
{{- $class := index . 1 -}}
{{- $create := default "auto" $class.create -}}
{{- $there := lookup "node.k8s.io/v1" "RuntimeClass" "" $class.name -}}
{{- $annotations := dict -}}
{{- if $there -}}{{- $annotations = default dict $there.metadata.annotations -}}{{- end -}}
{{- $others := and $there (ne (get $annotations "meta.helm.sh/release-name") $root.Release.Name) -}}
{{- $theirs := and (eq $class.name "wasmedge") (has $root.Values.distribution (list "k3s" "rke2")) -}}
{{- if or (eq $create "always") (and (eq $create "auto") (not $others) (not $theirs)) -}}
true
{{- end -}}
{{- end -}}

{{/* Of containers that need no right at all. */}}
{{- define "shim.harmless" -}}
allowPrivilegeEscalation: false
capabilities:
  drop: [ALL]
readOnlyRootFilesystem: true
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* A pod that works on its node and then waits: (dict "root" . "verb" VERB "stays" BOOL). */}}
{{- define "shim.privilegedPod" -}}
{{- $root := .root -}}
# It works on the node as root, and asks the API server for nothing.
automountServiceAccountToken: false
{{- with $root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
hostPID: true
priorityClassName: {{ $root.Values.priorityClassName }}
terminationGracePeriodSeconds: 30
tolerations:
  {{- toYaml $root.Values.tolerations | nindent 2 }}
{{ if .stays }}initContainers{{ else }}containers{{ end }}:
  - name: {{ .verb }}
    image: {{ include "shim.image" $root }}
    imagePullPolicy: {{ $root.Values.image.pullPolicy }}
    command:
      - /containerd-shim-wasmedge-v1
      - {{ .verb }}
      - --root=/host
      {{- with include "shim.runtime" $root }}
      - --runtime={{ . }}
      {{- end }}
      {{- if eq .verb "install" }}
      - --prefix={{ $root.Values.installationPrefix }}
      {{- end }}
      {{- if $root.Values.restart }}
      - --restart
      {{- end }}
      {{- if and (eq .verb "uninstall") (eq $root.Values.uninstall.whilePodsRun "force") }}
      - --force
      {{- end }}
    env:
      # systemctl runs in the node's root, with the node's processes.
      - name: SYSTEMD_IGNORE_CHROOT
        value: "1"
      - name: PATH
        value: /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
    securityContext:
      privileged: true
      runAsUser: 0
    resources:
      {{- toYaml $root.Values.resources | nindent 6 }}
    volumeMounts:
      - name: host
        mountPath: /host
        mountPropagation: HostToContainer
  {{- if and (eq .verb "uninstall") $root.Values.uninstall.purge }}
  - name: purge
    image: {{ include "shim.image" $root }}
    imagePullPolicy: {{ $root.Values.image.pullPolicy }}
    command:
      - /wasmedge-kubernetes
      - purge
      - /host/var/lib/containerd-shim-wasmedge
      {{- if ne $root.Values.uninstall.whilePodsRun "force" }}
      - /host/run/containerd-shim-wasmedge
      {{- end }}
    securityContext:
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      runAsUser: 0
    resources:
      {{- toYaml $root.Values.resources | nindent 6 }}
    volumeMounts:
      - name: state
        mountPath: /host/var/lib
      - name: run
        mountPath: /host/run
  {{- end }}
{{- if .stays }}
containers:
  - name: hold
    image: {{ include "shim.image" $root }}
    imagePullPolicy: {{ $root.Values.image.pullPolicy }}
    command: [/wasmedge-kubernetes, hold]
    securityContext:
      {{- include "shim.harmless" $root | nindent 6 }}
    resources:
      {{- toYaml $root.Values.resources | nindent 6 }}
{{- end }}
volumes:
  - name: host
    hostPath:
      path: /
      type: Directory
{{- if and (eq .verb "uninstall") $root.Values.uninstall.purge }}
  - name: state
    hostPath:
      path: /var/lib
      type: Directory
  - name: run
    hostPath:
      path: /run
      type: Directory
{{- end }}
{{- end -}}

{{/* Node affinity of what installs: not while the node is uninstalled. */}}
{{- define "shim.notRemoving" -}}
- key: {{ include "shim.label" . }}
  operator: NotIn
  values: [removing]
{{- end -}}

{{/* Of the pods that talk to the API server. */}}
{{- define "shim.apiPod" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.readiness.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if or .Values.startupTaints .Values.readiness.tolerations }}
tolerations:
  {{- range .Values.startupTaints }}
  # There may be no other nodes yet.
  - key: {{ . }}
    operator: Exists
  {{- end }}
  {{- with .Values.readiness.tolerations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* Annotations of what is only there while the chart is uninstalled: (list PHASES WEIGHT). */}}
{{- define "shim.hook" -}}
helm.sh/hook: {{ index . 0 }}
helm.sh/hook-weight: {{ index . 1 | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}

{{/* A Job of helm uninstall: (dict "root" . "verb" VERB "phase" PHASE). */}}
{{- define "shim.uninstallJob" -}}
{{- $root := .root -}}
{{- $verb := .verb -}}
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ include "shim.name" $root }}-{{ $verb }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "shim.labels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ $verb }}
  annotations:
    {{- include "shim.hook" (list .phase 0) | nindent 4 }}
spec:
  # A refusal is one: it stops helm uninstall, and nothing is changed.
  backoffLimit: 0
  template:
    metadata:
      labels:
        {{- include "shim.labels" $root | nindent 8 }}
        app.kubernetes.io/component: {{ $verb }}
        {{- with $root.Values.podLabels }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- with $root.Values.podAnnotations }}
      annotations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
    spec:
      restartPolicy: Never
      serviceAccountName: {{ include "shim.name" $root }}-leave
      automountServiceAccountToken: true
      {{- with include "shim.apiPod" $root | trim }}
      {{- . | nindent 6 }}
      {{- end }}
      containers:
        - name: {{ $verb }}
          image: {{ include "shim.image" $root }}
          imagePullPolicy: {{ $root.Values.image.pullPolicy }}
          command:
            - /wasmedge-kubernetes
            - {{ $verb }}
            {{- if eq $verb "leave" }}
            {{- range $root.Values.runtimeClasses }}
            - --runtime-class={{ .name }}
            {{- end }}
            - --while-pods-run={{ $root.Values.uninstall.whilePodsRun }}
            - --namespace={{ $root.Release.Namespace }}
            - --uninstaller=app.kubernetes.io/instance={{ $root.Release.Name }},app.kubernetes.io/component=uninstaller
            - --timeout={{ $root.Values.uninstall.timeoutSeconds }}
            {{- end }}
          securityContext:
            {{- include "shim.harmless" $root | nindent 12 }}
          resources:
            {{- toYaml $root.Values.readiness.resources | nindent 12 }}
{{- end -}}
